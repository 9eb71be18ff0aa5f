# SynFoC: MedSAM with LoRA (512 px) and the U-Net of 31 million parameters teach each other.
model = dict(
    type='SynFoC',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='LoRAMedSAM',
                arch='vit_b',
                rank=4,
                checkpoint='medsam_vit_b',
            ),
            decode_head=dict(
                type='SAMMaskHead',
                arch='vit_b',
                checkpoint='medsam_vit_b',
                init='partial_load',
            ),
        ),
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
    teachers=['sam', 'unet'],
    primary='sam',
    threshold=dict(type='FixedThreshold', value=0.95),
    sup_loss=dict(type='DiceCELoss'),
    consistency=dict(type='CDCRLoss'),
    ramp=dict(type='GaussianRamp', stairs=200),
    data_preprocessor=dict(sizes=dict(sam=dict(image=1.0, label=1 / 4))),
)
