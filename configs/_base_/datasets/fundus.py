# Fundus: optic cup and disc in photographs of four origins, in the layout of MiDSS and SynFoC.
_base_ = './mixed_domain.py'
data_root = 'data/Fundus'
image_size = 512
unet_size = image_size // 2
strong_view = [
    dict(type='RandomBrightness', low=0.5, high=1.5),
    dict(type='RandomContrast', low=0.5, high=1.5),
    dict(type='GaussianBlur', sigma=(0.1, 2.0)),
]
data = dict(
    type='Fundus',
    data_root=data_root,
    image_size=image_size,
    box_size=unet_size,
    score_size=unet_size,
)
train_dataloader = dict(
    dataset=dict(
        data,
        labelled=dict(domain='Domain1', num=20),
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='StrongView', transforms=strong_view),
            dict(type='RandomPasteBox'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(dataset=data)
val_dataloader = test_dataloader
