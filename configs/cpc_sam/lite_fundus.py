# CPC-SAM on two fundus domains for a machine without a GPU: LiteMedSAM at 96 px.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/cpc_sam_lite.py',
    '../_base_/schedules/cpc_sam.py',
]
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.001 * 4 / 12)))  # 4 images in place of 12
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
