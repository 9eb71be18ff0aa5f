# KnowSAM on ACDC: 7 labelled patients, 50,000 batches of 12 + 12 slices at 256 px.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/views/know_sam.py',
    '../_base_/models/know_sam.py',
    '../_base_/schedules/know_sam.py',
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=12, num_unlabelled=12),
    dataset=dict(
        labelled_pipeline={{_base_.labelled_pipeline}},
        unlabelled_pipeline={{_base_.unlabelled_pipeline}},
    ),
)
