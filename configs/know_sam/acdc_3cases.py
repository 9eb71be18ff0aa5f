# KnowSAM on ACDC with 3 labelled patients.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
