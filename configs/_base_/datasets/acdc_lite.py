# ACDC in the HDF5 layout of SSL4MIS at 64 px, for a machine without a GPU. Volumes are scored at
# their own size.
_base_ = './acdc.py'
image_size = 64
# UniMatch's views, with half the width of its blur at 256 px: on 64 px it leaves no organ.
strong_view = [
    _base_.jitter,
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='GaussianBlur', sigma=(0.1, 1.0), kernel=1.0)],
    ),
]
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        image_size=image_size,
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='StrongView', transforms=strong_view, key='img_strong2'),
            dict(type='RandomPasteBox', prob=0.5),
            dict(type='RandomPasteBox', prob=0.5, key='box2'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(num_workers=0, dataset=dict(image_size=image_size, cache=True))
val_dataloader = test_dataloader
