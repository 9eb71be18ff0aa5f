# Two U-Nets of SSL4MIS that teach each other (CPS), each with first weights of its own.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='CPS',
    students=dict(unet2={{_base_.model.students.unet}}),
    primary='unet',
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
