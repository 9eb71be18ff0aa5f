# Two fundus domains as flat folders <domain>/{image,mask}, at 96 px: Drishti-GS with its own
# lists, and REFUGE, of which every fourth of the sorted names is kept for the test.
dataset_type = 'Fundus'
data_root = 'data/fundus'
image_size = 96
domains = ['Domain1_DrishtiGS', 'Domain3_REFUGEtrain']
layout = dict(
    image_dir='{domain}/image',
    mask_dir='{domain}/mask',
    split=dict(type='list', train='{domain}/train.txt', test='{domain}/test.txt'),
    overrides=dict(
        Domain3_REFUGEtrain=dict(split=dict(type='slice', test=(3, None, 4))),
    ),
    metainfo=dict(
        published_counts=dict(),
    ),
)

strong_view = [
    dict(type='RandomBrightness', low=0.5, high=1.5),
    dict(type='RandomContrast', low=0.5, high=1.5),
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
        **layout,
        labelled=dict(domain='Domain1_DrishtiGS', num=20),
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
        **layout,
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
# Scored while training, and at the end; no checkpoint is chosen by it.
val_dataloader = test_dataloader
test_evaluator = dict(type='DomainMetric', empty='worst')
val_evaluator = dict(type='DomainMetric', empty='worst', selection='last')
