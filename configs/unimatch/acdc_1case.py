# UniMatch on ACDC with 1 labelled patient, 300 epochs of 106 batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=1)))
train_cfg = dict(max_iters=31800, val_interval=106)  # validated after every epoch
