# The labels-only control of configs/mcsd/lite_phantom.py: same U-Net, labels and iterations.
_base_ = [
    '../_base_/datasets/phantom_volumes.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
train_cfg = dict(max_iters=600, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
