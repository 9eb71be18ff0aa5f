# MCSD: network A on images, network B on the features of a frozen diffusion model.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='MCSD',
    students=dict(
        feature_unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder', in_channels=30),
            decode_head=dict(type='UNetDecoderHead'),
        ),
    ),
    neck=dict(
        type='DiffusionFeatureNeck',
        model='work_dirs/mcsd/ddpm_acdc/unet',
        steps=(50, 150, 250),
        blocks=(2, 4, 6),
        out_dim=30,
        # The released code draws new random weights for every slice; here they are learned.
        projection='learned',
    ),
    # The article's best value; the deleted config of the repository has 0.95.
    threshold=dict(type='FixedThreshold', value=0.9, strict=False),
    # The article names cross-entropy alone: ce_weight=1, dice_weight=0.
    sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
    weights=dict(sup=0.5, image=0.125, feature=0.25),
    label_features=False,
    inference='a',
)
