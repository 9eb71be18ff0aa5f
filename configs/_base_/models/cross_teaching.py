# The U-Net of SSL4MIS and a Swin transformer with UPerNet's decoder, both at one size.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='CrossTeaching',
    students=dict(
        swin=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='SwinTransformer',
                in_channels=3,
                depths=(2, 2, 2, 2),
                drop_path_rate=0.2,
                # of ImageNet; None starts from scratch
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/'
                    'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
                ),
            ),
            decode_head=dict(
                type='UPerHead',
                in_channels=(96, 192, 384, 768),
                in_index=(0, 1, 2, 3),
                channels=224,
                norm_cfg=dict(type='BN'),
            ),
        ),
    ),
    primary='unet',
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    data_preprocessor=dict(sizes=dict(swin=dict(image=1.0, label=1.0, channels=3))),
)
