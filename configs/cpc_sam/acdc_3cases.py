# CPC-SAM on ACDC with 3 labelled patients: 10,000 epochs of 11 batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
train_cfg = dict(max_iters=110000)
