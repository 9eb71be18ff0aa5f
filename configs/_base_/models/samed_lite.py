# SAMed for small machines: LiteMedSAM with LoRA at 96 px, whose logits have the image's size.
model = dict(
    type='SAMed',
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
    ),
    dice_weight=0.8,
)
