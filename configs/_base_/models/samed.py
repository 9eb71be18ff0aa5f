# SAMed: SAM's ViT-B with LoRA at 512 px, its decoder with one token for each class.
model = dict(
    type='SAMed',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(type='LoRAMedSAM', arch='vit_b', rank=4, checkpoint='sam_vit_b'),
            decode_head=dict(
                type='SAMMaskHead',
                arch='vit_b',
                checkpoint='sam_vit_b',
                init='partial_load',  # what the released code does; 'reinit' is what it means to
            ),
        ),
    ),
    dice_weight=0.8,
    data_preprocessor=dict(sizes=dict(sam=dict(image=1.0, label=1 / 4))),
)
