# SC-SAM on two fundus domains for a machine without a GPU: LiteMedSAM at 96 px. The views are those
# of the other methods there.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/sc_sam_lite.py',
    '../_base_/schedules/sc_sam.py',
]
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
