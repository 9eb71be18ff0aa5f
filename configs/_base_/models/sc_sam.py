# SC-SAM: a U-Net that points, and SAM's ViT-B with adapters, whose decoder learns too.
model = dict(
    type='SCSAM',
    students=dict(
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder'),
            decode_head=dict(type='UNetDecoderHead', upsample='transposed'),
        ),
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(type='AdapterMedSAM', arch='vit_b', checkpoint='sam_vit_b'),
            decode_head=dict(
                type='LearnedPromptHead', arch='vit_b', checkpoint='sam_vit_b', frozen=False
            ),
        ),
    ),
    points=5,
    train_points='random',
    test_points='spread',  # 'random' as released
    entropy_weight=0.9,
    sup_loss=dict(type='DiceCELoss', ce_weight=1.0, dice_weight=1.0, eps=1e-10),
    ramp=dict(type='GaussianRamp', scale=1.0, length=1 / 4),  # 10,000 of 40,000 iterations
)
