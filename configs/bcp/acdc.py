# BCP on ACDC: 7 labelled patients, 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/bcp.py',
    '../_base_/schedules/bcp.py',
]
# A slice is turned and flipped, rotated, or (a quarter of them) left as it is.
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]
pipeline = [*weak_view, dict(type='PackSemiInputs')]
train_dataloader = dict(
    dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline)
)
