# MCSD on ACDC with 3 labelled patients (5 %), 300 epochs of 155 batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
train_cfg = dict(max_iters=46500)
