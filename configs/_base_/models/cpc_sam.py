# CPC-SAM: SAM's ViT-B with LoRA at 512 px and two decoders that scale up to the image.
model = dict(
    type='CPCSAM',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(type='LoRAMedSAM', arch='vit_b', rank=4, checkpoint='sam_vit_b'),
            decode_head=dict(
                type='CrossPromptHead',
                arch='vit_b',
                checkpoint='sam_vit_b',
                init='random',  # of the decoders: the released loader finds no weights for them
            ),
        ),
    ),
    cross_start=5000,
    three_steps=True,
    cross_weight=0.4,
    prompt_weight=0.05,
    sup_loss=dict(type='DiceCELoss', ce_weight=0.2, dice_weight=0.8, eps=1e-5),
    unsup_criterion=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
    ramp=dict(type='ConstantRamp'),
    data_preprocessor=dict(sizes=dict(sam=dict(image=1.0, label=1.0))),
)
