# CauSSL on two V-Nets with the loss of its code: the Dice term is that of the foreground alone.
_base_ = './vnet_foreground.py'
model = dict(
    type='CPSCauSSL',
    students=dict(vnet2={{_base_.model.students.vnet}}),
    primary='vnet',
    cps_weight=0.3,
    # 40 stairs of 150 iterations, of which 5,000 climb 33
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=40, length=6000 / 5000),
)
