# CPC-SAM on ACDC with 1 labelled patient, the default of the released code: 10,000 epochs of 5
# batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=1)))
train_cfg = dict(max_iters=50000)
