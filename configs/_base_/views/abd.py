# ABD's views on ACDC: turned and flipped, rotated, or left as it is; the strong view has a hole, in
# its mask too, and other grey levels.
abd_pipeline = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
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
