# FixMatch with a mean teacher on Left Atrium: 16 labelled volumes, one of CrossMatch's strong
# views, UA-MT's schedule. No run of it on these data is published.
_base_ = [
    '../_base_/views/strong_volumes.py',
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_foreground.py',
    '../_base_/schedules/ua_mt_3d.py',
]
model = dict(
    type='FixMatch',
    teachers=['vnet'],
    sup_loss=dict(mask_background=True),
    threshold=dict(type='FixedThreshold', value=0.95),
    ramp=dict(type='GaussianRamp', stairs=40),
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
train_dataloader = dict(
    dataset=dict(
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='StrongView', transforms=_base_.strong_view),
            dict(type='PackSemiInputs'),
        ]
    ),
)
