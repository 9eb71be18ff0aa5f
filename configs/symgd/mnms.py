# SymGD on M&Ms: 5 labelled slices of one vendor, 60,000 iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/symgd.py',
    '../_base_/schedules/symgd.py',
]
image_size = 288  # views are made at the size of the network
resize = dict(type='ResizeSquare', size=image_size, interpolation='bilinear')
# As there, the elastic deformation has the same strength in pixels as at 512 px.
weak_view = [
    *_base_.weak_view[:-1],
    dict(type='RandomElastic', alpha=2.0, sigma=0.08, side=288),
]
model = dict(students=dict(unet=dict(decode_head=dict(num_classes=4))), parts=[[1], [2], [3]])
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
published = 'symgd'  # printed beside the results
