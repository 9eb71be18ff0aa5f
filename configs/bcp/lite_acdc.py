# BCP on ACDC at 64 px: 500 iterations of pre-training and 1,500 of self-training.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/bcp.py',
    '../_base_/schedules/bcp.py',
]
train_dataloader = dict(batch_sampler=dict(num_labelled=8, num_unlabelled=8))
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
