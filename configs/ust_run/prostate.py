# UST-RUN on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = '../symgd/prostate.py'
model = dict(type='USTRUN')
published = None  # the tables of the article are not known here
