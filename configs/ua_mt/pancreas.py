# UA-MT on Pancreas-CT with its settings on Left Atrium: 12 labelled volumes, patches of 96^3.
_base_ = [
    '../_base_/datasets/pancreas.py',
    '../_base_/models/vnet_foreground.py',
    '../_base_/schedules/ua_mt_3d.py',
]
model = dict(
    type='UAMT',
    teachers=['vnet'],
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=40),
    inferer=_base_.windows,
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
