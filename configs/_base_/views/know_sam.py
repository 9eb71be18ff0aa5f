# The view of a labelled and of an unlabelled image in KnowSAM, the latter changed more.
grey = [
    dict(type='RandomBrightness', low=0.8, high=1.2),
    dict(type='RandomContrast', low=0.8, high=1.2),
]
flips = [dict(type='RandomHorizontalFlip'), dict(type='RandomFlip', axes=0)]
rotate = dict(type='RandomRotate', degrees=10)
# black squares of 12 px in an image of 256
holes = dict(type='RandomCutout', area=(0.0022, 0.0022), ratio=(1.0, 1.0), fill=0)
labelled_pipeline = [
    *flips,
    dict(type='RandomApply', prob=0.2, transforms=grey),
    rotate,
    dict(holes, prob=0.5, holes=(5, 8)),
    dict(type='PackSemiInputs'),
]
unlabelled_pipeline = [
    *flips,
    dict(type='RandomApply', prob=0.6, transforms=grey),
    rotate,
    dict(holes, prob=0.7, holes=(10, 20)),
    dict(type='PackSemiInputs'),
]
