# ACDC: cardiac MRI of 100 patients in the HDF5 layout of SSL4MIS, scored by volume.
data_root = 'data/acdc'
image_size = 256

jitter = dict(
    type='RandomApply',
    prob=0.8,
    transforms=[dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)],
)
strong_view = [
    jitter,
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='GaussianBlur', sigma=(0.1, 2.0))],
    ),
]
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]

train_dataloader = dict(
    # of the 16 unlabelled slices, every second one is mixed into the one before it
    batch_sampler=dict(type='SemiSampler', num_labelled=8, num_unlabelled=16),
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        type='ACDC',
        data_root=data_root,
        image_size=image_size,
        # 3, 7 and 14 patients are the 5, 10 and 20 % of the papers
        labelled=dict(cases=7, list='train_slices.list'),
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='LoadMask'),
            dict(type='ResizeSquare', interpolation='zoom'),
        ],
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='StrongView', transforms=strong_view, key='img_strong2'),
            dict(type='RandomPasteBox', prob=0.5),
            dict(type='RandomPasteBox', prob=0.5, key='box2'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ACDC',
        data_root=data_root,
        image_size=image_size,
        mode='test',
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', interpolation='zoom'),
            dict(type='LoadMask'),  # at its own size, at which volumes are scored
        ],
        pipeline=[dict(type='PackTestInputs')],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_dataloader['dataset'], mode='val'),
)
# As SSL4MIS: voxels, whatever their size in mm; an empty prediction has Dice and distances 0.
test_evaluator = dict(
    type='DomainMetric', per='volume', unit='pixel', empty='zero', selection='val'
)
val_evaluator = test_evaluator
