# KnowSAM on ACDC at 64 px for a machine without a GPU: LiteMedSAM, 4 + 4 slices a batch.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/views/know_sam.py',
    '../_base_/models/know_sam_lite.py',
    '../_base_/schedules/know_sam.py',
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(
        labelled_pipeline={{_base_.labelled_pipeline}},
        unlabelled_pipeline={{_base_.unlabelled_pipeline}},
    ),
)
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
