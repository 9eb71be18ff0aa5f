# The multi-scanner phantom of tools/dataset_converters/make_phantom.py, at 64 px.
dataset_type = 'MixedDomainDataset'
data_root = 'data/phantom'
image_size = 64
domains = ['ScannerA', 'ScannerB', 'ScannerC', 'ScannerD']
label_map = {0: 0, 255: 1}
metainfo = dict(dataset_name='phantom', classes=('background', 'organ'), parts=dict(organ=[1]))

strong_view = [
    dict(type='RandomBrightness', low=0.1, high=2.0),
    dict(type='RandomContrast', low=0.1, high=2.0),
    dict(type='GaussianBlur', sigma=(0.1, 2.0)),
]
weak_view = [
    dict(type='RandomScaleCrop', scale=(1.0, 1.5)),
    dict(type='RandomRotate', degrees=20),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomElastic', alpha=2.0, sigma=0.08),
]

train_dataloader = dict(
    batch_sampler=dict(type='SemiSampler', num_labelled=2, num_unlabelled=2),
    num_workers=0,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        domains=domains,
        label_map=label_map,
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        metainfo=metainfo,
        labelled=dict(domain='ScannerA', num=12),
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='LoadMask'),
            dict(type='ResizeSquare', size=image_size, interpolation='lanczos'),
        ],
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='RandomPasteBox', size=image_size),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        mode='test',
        domains=domains,
        label_map=label_map,
        case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
        metainfo=metainfo,
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', size=image_size, interpolation='lanczos'),
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=image_size),
        ],
        pipeline=[dict(type='PackTestInputs')],
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='DomainMetric', empty='worst')
val_evaluator = dict(type='DomainMetric', empty='worst', selection='last')
