# UST-RUN on BUSI: an eighth of the benign images labelled, 30,000 iterations.
_base_ = '../symgd/busi.py'
model = dict(type='USTRUN')
published = None  # the tables of the article are not known here
