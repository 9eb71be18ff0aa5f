# Slices or photographs of several domains, trained on as in MiDSS and SynFoC; a data base built on
# this one says which data set it is, and its sizes.
load_image = [
    dict(type='LoadImage'),
    dict(type='ResizeSquare', interpolation='lanczos'),
]
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
    batch_sampler=dict(type='SemiSampler', num_labelled=4, num_unlabelled=4),
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        cache=True,
        prepare=[*load_image[:1], dict(type='LoadMask'), *load_image[1:]],
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='RandomPasteBox'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        mode='test',
        prepare=[*load_image, dict(type='LoadMask'), dict(type='ResizeMaskTo')],
        pipeline=[dict(type='PackTestInputs')],
    ),
)
# The papers choose the checkpoint on the test set; `configs` in the docs shows how not to.
val_dataloader = test_dataloader
test_evaluator = dict(type='DomainMetric', empty='worst')
val_evaluator = dict(type='DomainMetric', empty='worst', selection='test')
