# ABD over cross teaching on ACDC: 7 patients, 30,000 batches of 8 + 8 slices, 224 px.
_base_ = '../cross_teaching/acdc.py'
model = dict(
    type='ABDCrossTeaching',
    grid=4,
    top=4,
    trouble=2.0,  # ABD-I: for half of the labelled slices, in the first two thirds of the training
    trouble_prob=0.5,
    trouble_until=2 / 3,
)
# Turned and flipped, rotated, or left as it is; the strong view has a hole, in its mask too, and
# other grey levels.
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]
pipeline = [
    *weak_view,
    dict(
        type='StrongView',
        mask=True,
        transforms=[
            dict(type='RandomCutout', prob=0.5, area=(0.02, 0.4), ratio=(0.3, 1 / 0.3)),
            dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
        ],
    ),
    dict(type='PackSemiInputs'),
]
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
train_cfg = dict(val_interval=200)
