# KnowSAM: U-Net and V-Net of slices, the map fused of them, and SAM's ViT-B with adapters.
model = dict(
    type='KnowSAM',
    students=dict(
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder'),
            decode_head=dict(type='UNetDecoderHead', upsample='transposed'),
        ),
        vnet=dict(
            type='EncoderDecoder',
            backbone=dict(
                type='VNetEncoder',
                axes=2,
                dropout=0.0,
                norm_cfg=dict(type='none'),
                early_skips=True,
                init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in', distribution='normal'),
            ),
            decode_head=dict(
                type='VNetDecoderHead',
                axes=2,
                dropout=0.0,
                norm_cfg=dict(type='none'),
                init_cfg=dict(
                    type='Kaiming',
                    layer=['Conv2d', 'ConvTranspose2d'],
                    mode='fan_in',
                    distribution='normal',
                ),
            ),
        ),
        sam=dict(
            type='EncoderDecoder',
            backbone=dict(type='AdapterMedSAM', arch='vit_b', checkpoint='sam_vit_b'),
            decode_head=dict(type='LearnedPromptHead', arch='vit_b', checkpoint='sam_vit_b'),
        ),
    ),
    exchange_start=12000,
    grid=4,
    patches=5,
    entropy_weight=0.9,
    temperature=10.0,
    sup_loss=dict(type='DiceCELoss', ce_weight=1.0, dice_weight=1.0, eps=1e-10),
    # 0.1 in the released code, and ten times that there
    ramp=dict(type='GaussianRamp', scale=1.0, stairs=200),
)
