# URPC on the V-Net: a prediction from every step of the decoder, nothing perturbed. On volumes its
# ramp climbs twice as many stairs, 400 of 150 iterations.
_base_ = './vnet.py'
model = dict(
    type='URPC',
    students=dict(vnet=dict(decode_head=dict(type='VNetPyramidHead'))),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=400),
)
