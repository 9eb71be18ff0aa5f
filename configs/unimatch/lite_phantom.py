# UniMatch on the phantom's volumes, a control of configs/mcsd/lite_phantom.py.
_base_ = [
    '../_base_/datasets/phantom_volumes.py',
    '../_base_/models/unimatch.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
train_cfg = dict(max_iters=600, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
