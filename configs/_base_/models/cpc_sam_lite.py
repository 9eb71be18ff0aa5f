# CPC-SAM for small machines: LiteMedSAM at 96 px, whose own decoders reach the image's size. One
# pass of the encoder for one optimiser step, and decoders that have seen medical images.
model = dict(
    type='CPCSAM',
    students=dict(
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='LoRAMedSAM', arch='lite', img_size=96, rank=4, checkpoint='lite_medsam'
            ),
            decode_head=dict(
                type='CrossPromptHead',
                arch='lite',
                img_size=96,
                num_classes=2,
                checkpoint='lite_medsam',
                init='published',
            ),
        ),
    ),
    cross_start=333,  # a sixth of 2,000 iterations, as 5,000 of 30,000
    three_steps=False,
    cross_weight=0.4,
    prompt_weight=0.05,
    sup_loss=dict(type='DiceCELoss', ce_weight=0.2, dice_weight=0.8, eps=1e-5),
    unsup_criterion=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
    ramp=dict(type='ConstantRamp'),
)
