# Volumes of a phantom in the layout of SSL4MIS's ACDC, at 64 px, scored by volume at their own
# size: tools/dataset_converters/make_phantom.py data/phantom_volumes --layout volumes
dataset_type = 'MixedDomainDataset'
data_root = 'data/phantom_volumes'
image_size = 64
label_map = {0: 0, 1: 1, 2: 2}
case_pattern = r'(?P<volume>(?P<case>patient\d+)_frame\d+)(_slice_(?P<slice>\d+))?'
split = dict(type='list', train='train_slices.list', val='val.list', test='test.list')
metainfo = dict(
    dataset_name='phantom_volumes',
    classes=('background', 'outer', 'inner'),
    parts=dict(outer=[1], inner=[2]),
)
layout = dict(
    image_dir=('data', 'data/slices'),
    mask_dir=('data', 'data/slices'),
    image_suffixes=('.h5',),
    mask_suffixes=('.h5',),
    value_range=(0, 1),
)

# UniMatch's views, with half the width of its blur at 256 px: on 64 px it leaves no organ.
strong_view = [
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(type='ColorJitter', brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)
        ],
    ),
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='GaussianBlur', sigma=(0.1, 1.0), kernel=1.0)],
    ),
]
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]

train_dataloader = dict(
    # Every second unlabelled slice is mixed into the one before it.
    batch_sampler=dict(type='SemiSampler', num_labelled=4, num_unlabelled=8),
    num_workers=0,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        domains=['phantom'],
        label_map=label_map,
        case_pattern=case_pattern,
        split=split,
        metainfo=metainfo,
        labelled=dict(cases=2, list='train_slices.list'),
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='LoadMask'),
            dict(type='ResizeSquare', size=image_size, interpolation='zoom'),
        ],
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='StrongView', transforms=strong_view, key='img_strong2'),
            dict(type='RandomPasteBox', size=image_size, prob=0.5),
            dict(type='RandomPasteBox', size=image_size, prob=0.5, key='box2'),
            dict(type='PackSemiInputs'),
        ],
        **layout,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        mode='val',
        domains=['phantom'],
        label_map=label_map,
        case_pattern=case_pattern,
        split=split,
        metainfo=metainfo,
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', size=image_size, interpolation='zoom'),
            dict(type='LoadMask'),
        ],
        pipeline=[dict(type='PackTestInputs')],
        **layout,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset={**val_dataloader['dataset'], 'mode': 'test'},
)
val_evaluator = dict(type='DomainMetric', per='volume', empty='zero', selection='val')
test_evaluator = dict(type='DomainMetric', per='volume', empty='zero', selection='val')
