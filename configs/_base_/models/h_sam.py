# H-SAM: SAM's ViT-B with LoRA at 512 px, and two decoders, as released for 512 px.
model = dict(
    type='HSAM',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(type='LoRAMedSAM', arch='vit_b', rank=5, checkpoint='sam_vit_b'),
            decode_head=dict(
                type='HSAMHead',
                arch='vit_b',
                checkpoint='sam_vit_b',
                init='partial_load',  # what the released code does; 'reinit' is what it means to
                stage=3,
                map_softmax='channel',  # what the released code does; 'positions' is a true gate
                map_noise=False,  # released: with noise at 224 px, without at 512 px
            ),
        ),
    ),
    dice_weight=0.9,
    epochs=300,
    data_preprocessor=dict(sizes=dict(sam=dict(image=1.0, label=1.0))),
)
