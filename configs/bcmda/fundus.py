# BCMDA on Fundus with parts that may overlap: 20 labelled images of one domain.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/bcmda.py',
    '../_base_/schedules/symgd.py',
]
image_size = 256  # views are made at the size of the network
sizes = dict(image_size=image_size, box_size=image_size, score_size=image_size)
# As there, the elastic deformation has the same strength in pixels as at 512 px.
weak_view = [
    *_base_.weak_view[:-1],
    dict(type='RandomElastic', alpha=2.0, sigma=0.08, side=256),
]
model = dict(
    label_space=dict(type='OverlappingParts'),
    sup_loss=dict(_delete_=True, type='DiceBCELoss'),
    threshold=dict(strict=False),
    ratio=0.75,
    beta=0.7,
    centre=127.5,
    keep_black=True,
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(
        **sizes,
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[
            *weak_view,
            dict(type='StrongView', transforms=_base_.strong_view),
            dict(type='RandomPasteBox'),
            dict(type='RandomPasteBox', key='box2'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(dataset=sizes)
val_dataloader = test_dataloader
train_cfg = dict(max_iters=30000)
