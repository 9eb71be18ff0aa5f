# UST-RUN on M&Ms: 5 labelled slices of one vendor, 60,000 iterations.
_base_ = '../symgd/mnms.py'
model = dict(type='USTRUN')
published = None  # the tables of the article are not known here
