# UST-RUN on Fundus: 20 labelled images of one domain, 30,000 iterations.
_base_ = '../symgd/fundus.py'
model = dict(type='USTRUN')
published = None  # the tables of the article are not known here
