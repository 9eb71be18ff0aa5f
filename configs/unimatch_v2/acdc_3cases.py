# UniMatch V2 on ACDC with 3 labelled patients, 300 epochs of 103 batches.
_base_ = './acdc.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
train_cfg = dict(max_iters=30900, val_interval=103)  # validated after every epoch
