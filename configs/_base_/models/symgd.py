# SymGD: the U-Net of SynFoC with an EMA teacher, images in [-1, 1].
_base_ = './sup_only.py'
model = dict(
    type='SymGD',
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95),
    amplitude=0.01,
    ramp=dict(type='GaussianRamp', stairs=200),
    data_preprocessor=dict(mean=127.5, std=127.5),
)
