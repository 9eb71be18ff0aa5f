# DTC on the V-Net: one channel for the atrium and one for its distances, Dice alone.
_base_ = './vnet.py'
model = dict(
    type='DTC',
    students=dict(
        vnet=dict(decode_head=dict(type='VNetDistanceHead', num_classes=1)),
    ),
    label_space=dict(type='OverlappingParts'),
    sup_loss=dict(_delete_=True, type='DiceBCELoss', bce_weight=0, eps=1e-5),
    # 40 stairs of 150 iterations
    ramp=dict(type='GaussianRamp', scale=1.0, stairs=40),
)
