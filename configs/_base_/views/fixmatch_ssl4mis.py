# The views of FixMatch in SSL4MIS: turned and flipped, and a copy with other grey levels.
fixmatch_pipeline = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=1.0),
    dict(
        type='StrongView',
        transforms=[
            dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
        ],
    ),
    dict(type='PackSemiInputs'),
]
