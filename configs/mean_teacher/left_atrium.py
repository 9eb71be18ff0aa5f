# Mean Teacher on Left Atrium: UA-MT's settings without its mask, 16 labelled volumes, 6,000 batches
# of 2 + 2 patches. No code of its own is released for these data.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_foreground.py',
    '../_base_/schedules/ua_mt_3d.py',
]
model = dict(
    type='MeanTeacher',
    teachers=['vnet'],
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=40),
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
