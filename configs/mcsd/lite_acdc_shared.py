# Features that reach network A: one U-Net with a stem for images and one for features.
_base_ = './lite_acdc.py'
model = dict(
    feature_student='unet',
    students=dict(
        unet=dict(backbone=dict(type='TwoStemUNetEncoder', feature_channels=30)),
        feature_unet=None,
    ),
)
optim_wrapper = dict(optimizers=dict(feature_unet=None))
