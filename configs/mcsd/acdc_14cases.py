# MCSD on ACDC with 14 labelled patients (20 %), 300 epochs of 132 batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=14)))
train_cfg = dict(max_iters=39600)
