# CPC-SAM on ACDC at 64 px for a machine without a GPU: LiteMedSAM, 4 + 4 slices a batch.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/cpc_sam_lite.py',
    '../_base_/schedules/cpc_sam.py',
]
pipeline = [*_base_.weak_view, dict(type='PackSemiInputs')]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline),
)
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.001 * 8 / 12)))  # 8 slices in place of 12
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
