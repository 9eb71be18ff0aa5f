# ACDC as BCP, MC-Net and SS-Net train on it: 12 + 12 slices, one view, which is turned and flipped,
# rotated, or (a quarter of the slices) left as it is.
_base_ = './acdc_ssl4mis.py'
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]
pipeline = [*weak_view, dict(type='PackSemiInputs')]
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
