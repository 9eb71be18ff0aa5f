# UA-MT on BraTS 2019 as in SSL4MIS, but for its network: 25 labelled volumes, 30,000 batches of
# 2 + 2 patches; the V-Net in place of the 3D U-Net.
_base_ = [
    '../_base_/datasets/brats.py',
    '../_base_/models/vnet.py',
    '../_base_/schedules/ssl4mis_3d.py',
]
model = dict(
    type='UAMT',
    teachers=['vnet'],
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    inferer=_base_.windows,
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
