# H-SAM on two fundus domains for a machine without a GPU: LiteMedSAM at 96 px.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/h_sam_lite.py',
    '../_base_/schedules/h_sam.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.0025 * 2 / 16)))  # 2 images in place of 16
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
