# Two V-Nets of half the width that teach each other (CPS), each with first weights of its own.
_base_ = './vnet_hippocampus.py'
model = dict(
    type='CPS',
    students=dict(vnet2={{_base_.model.students.vnet}}),
    primary='vnet',
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
