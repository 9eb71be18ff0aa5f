# SynFoC for small machines: LiteMedSAM with LoRA and a U-Net a quarter as wide, both at 96 px.
model = dict(
    type='SynFoC',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='LoRAMedSAM', arch='lite', img_size=96, rank=4, checkpoint='lite_medsam'
            ),
            decode_head=dict(
                type='SAMMaskHead',
                arch='lite',
                img_size=96,
                num_classes=2,
                checkpoint='lite_medsam',
                init='partial_load',
            ),
        ),
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNet', in_channels=1, base_channels=16),
            decode_head=dict(
                type='FCNHead',
                num_convs=0,
                in_channels=16,
                channels=16,
                concat_input=False,
                dropout_ratio=0,
                init_cfg=None,
                num_classes=2,
            ),
        ),
    ),
    teachers=['sam', 'unet'],
    primary='sam',
    threshold=dict(type='FixedThreshold', value=0.95),
    sup_loss=dict(type='DiceCELoss'),
    consistency=dict(type='CDCRLoss'),
    ramp=dict(type='GaussianRamp', stairs=200),
)
