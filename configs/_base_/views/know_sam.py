# The view of a labelled and of an unlabelled image in KnowSAM, the latter changed more.
grey = [
    dict(type='RandomBrightness', low=0.8, high=1.2),
    dict(type='RandomContrast', low=0.8, high=1.2),
]
flips = [dict(type='RandomHorizontalFlip'), dict(type='RandomFlip', axes=0)]
rotate = dict(type='RandomRotate', degrees=10)
labelled_pipeline = [
    *flips,
    dict(type='RandomApply', prob=0.2, transforms=grey),
    rotate,
    dict(type='PackSemiInputs'),
]
unlabelled_pipeline = [
    *flips,
    dict(type='RandomApply', prob=0.6, transforms=grey),
    rotate,
    dict(type='PackSemiInputs'),
]
