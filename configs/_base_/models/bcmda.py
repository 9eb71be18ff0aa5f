# BCMDA: the U-Net of SynFoC with prototypes and an EMA teacher, images in [-1, 1].
_base_ = './sup_only.py'
model = dict(
    type='BCMDA',
    students=dict(unet=dict(decode_head=dict(type='PrototypeHead', temperature=0.05))),
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95),
    prototype_ramp=dict(type='GaussianRamp', stairs=200),
    ratio=0.65,
    beta=1.0,
    reduction=4,
    # As in the released code, which asks for the domains of unlabelled images; False does not.
    same_domain=True,
    data_preprocessor=dict(mean=127.5, std=127.5),
)
