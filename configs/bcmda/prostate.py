# BCMDA on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/bcmda.py',
    '../_base_/schedules/symgd.py',
]
image_size = 384  # views are made at the size of the network
sizes = dict(image_size=image_size, box_size=image_size)
# As there, the elastic deformation has the same strength in pixels as at 512 px.
weak_view = [
    *_base_.weak_view[:-1],
    dict(type='RandomElastic', alpha=2.0, sigma=0.08, side=384),
]
model = dict(students=dict(unet=dict(decode_head=dict(temperature=0.3))))
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
