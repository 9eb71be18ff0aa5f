# UniMatch on the U-Net of SSL4MIS.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='UniMatch',
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    weights=dict(sup=0.5, image=0.125, feature=0.25),
    feature_dropout=0.5,
)
