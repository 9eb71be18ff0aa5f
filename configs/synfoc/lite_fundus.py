# SynFoC on two fundus domains for a machine without a GPU: LiteMedSAM and a small U-Net, 96 px.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/synfoc_lite.py',
    '../_base_/schedules/synfoc.py',
]
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
