# H-SAM for small machines: LiteMedSAM with LoRA and two decoders, at 96 px.
model = dict(
    type='HSAM',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='LoRAMedSAM', arch='lite', img_size=96, rank=5, checkpoint='lite_medsam'
            ),
            decode_head=dict(
                type='HSAMHead',
                arch='lite',
                img_size=96,
                num_classes=2,
                checkpoint='lite_medsam',
                init='partial_load',
            ),
        ),
    ),
    dice_weight=0.9,
    epochs=300,
)
