# H-SAM on ACDC at 64 px for a machine without a GPU: LiteMedSAM, 8 slices a batch.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/h_sam_lite.py',
    '../_base_/schedules/h_sam.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.0025 * 8 / 16)))  # 8 slices in place of 16
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
