# ACDC as SSL4MIS trains on it: 12 + 12 slices, one view, always turned and flipped or rotated.
_base_ = './acdc.py'
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=1.0, degrees=20),
]
strong_view = []
train_dataloader = dict(
    batch_sampler=dict(num_labelled=12, num_unlabelled=12),
    dataset=dict(
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    ),
)
