# The U-Net of SynFoC on the labelled images alone.
model = dict(
    type='SupOnly',
    students=dict(
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNet', base_channels=64),
            decode_head=dict(
                type='FCNHead',
                num_convs=0,
                in_channels=64,
                channels=64,
                concat_input=False,
                dropout_ratio=0,
                init_cfg=None,
            ),
        ),
    ),
    sup_loss=dict(type='DiceCELoss'),
)
