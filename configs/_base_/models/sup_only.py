# The U-Net of SynFoC on the labelled images alone.
model = dict(
    type='SupOnly',
    students=dict(
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNet', in_channels=1, base_channels=64),
            decode_head=dict(
                type='FCNHead',
                num_convs=0,
                in_channels=64,
                channels=64,
                concat_input=False,
                dropout_ratio=0,
                init_cfg=None,
                num_classes=2,
            ),
        ),
    ),
    sup_loss=dict(type='DiceCELoss'),
    data_preprocessor=dict(sizes=dict(unet=dict(image=384, label=384))),
)
