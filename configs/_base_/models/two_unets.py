# Two of the U-Nets of SynFoC that teach each other (CPS), each with first weights of its own.
_base_ = './sup_only.py'
model = dict(
    type='CPS',
    students=dict(unet2={{_base_.model.students.unet}}),
    primary='unet',
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
