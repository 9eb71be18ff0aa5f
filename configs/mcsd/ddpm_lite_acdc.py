# A small diffusion model on all 1,312 training slices of ACDC at 64 px, without their masks.
_base_ = ['../_base_/models/ddpm_lite.py', '../_base_/schedules/ddpm.py']
image_size = 64
model = dict(unet=dict(image_size=image_size))
train_dataloader = dict(
    batch_sampler=dict(type='SemiSampler', num_labelled=0, num_unlabelled=8),
    num_workers=0,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        type='ACDC',
        data_root='data/acdc',
        image_size=image_size,
        labelled=dict(num=0),
        cache=True,
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', interpolation='zoom'),
        ],
        pipeline=[dict(type='RandomHorizontalFlip'), dict(type='PackSemiInputs')],
    ),
)
optim_wrapper = dict(optimizers=dict(denoiser=dict(lr=2e-4)), clip_grad=dict(max_norm=1.0))
param_scheduler = dict(
    denoiser=[dict(type='LinearLR', start_factor=0.01, begin=0, end=100, by_epoch=False)]
)
train_cfg = dict(max_iters=2500, val_interval=2500)
custom_hooks = [
    # 0.999 is still behind the network after 1,200 iterations, at every noise level.
    dict(type='EMATeacherHook', momentum=0.995, mode='eval'),
    dict(type='DiffusionHook', interval=500, num=16, steps=25),
]
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=10))
