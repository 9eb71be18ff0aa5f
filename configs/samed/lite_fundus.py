# SAMed on two fundus domains for a machine without a GPU: LiteMedSAM at 96 px.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/samed_lite.py',
    '../_base_/schedules/samed.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 2 / 24)))  # 2 images in place of 24
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
