# SymGD on Fundus with parts that may overlap: 20 labelled images of one domain.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/symgd.py',
    '../_base_/schedules/symgd.py',
]
image_size = 256  # views are made at the size of the network
resize = dict(type='ResizeSquare', size=image_size, interpolation='lanczos')
# As there, the elastic deformation has the same strength in pixels as at 512 px.
weak_view = [
    *_base_.weak_view[:-1],
    dict(type='RandomElastic', alpha=2.0, sigma=0.08, side=256),
]
model = dict(
    students=dict(unet=dict(backbone=dict(in_channels=3), decode_head=dict(num_classes=2))),
    parts=[[1], [1, 2]],  # cup, disc
    label_space=dict(type='OverlappingParts'),
    sup_loss=dict(_delete_=True, type='DiceBCELoss'),
    threshold=dict(strict=False),
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(
        prepare=[dict(type='LoadImage'), dict(type='LoadMask'), resize],
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=_base_.strong_view),
            dict(type='RandomPasteBox', size=image_size),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),
            resize,
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=image_size),
        ]
    )
)
val_dataloader = test_dataloader
train_cfg = dict(max_iters=30000)
published = 'symgd'  # printed beside the results
