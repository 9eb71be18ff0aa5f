# M&Ms: cardiac MRI slices of four vendors, in the processed layout of MiDSS and SynFoC.
_base_ = './mixed_domain.py'
data_root = 'data/mnms'
image_size = 512
unet_size = image_size * 9 // 16
load_image = [
    dict(type='LoadImage'),
    dict(type='ResizeSquare', interpolation='bilinear'),
]
data = dict(
    type='MNMs',
    data_root=data_root,
    image_size=image_size,
    box_size=unet_size,
    score_size=unet_size,
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=2, num_unlabelled=2),
    dataset=dict(
        data,
        labelled=dict(domain='vendorA', num=5),
        prepare=[*load_image[:1], dict(type='LoadMask'), *load_image[1:]],
    ),
)
test_dataloader = dict(
    dataset=dict(data, prepare=[*load_image, dict(type='LoadMask'), dict(type='ResizeMaskTo')])
)
val_dataloader = test_dataloader
