# A diffusion model that trains in a minute or two, for the phantom volumes: 2.0 M parameters.
_base_ = [
    '../_base_/datasets/phantom_volumes.py',
    '../_base_/models/ddpm_lite.py',
    '../_base_/schedules/ddpm.py',
]
model = dict(unet=dict(image_size=_base_.image_size, multipliers=(1, 1, 2, 2)))
train_dataloader = dict(
    batch_sampler=dict(num_labelled=0, num_unlabelled=8),
    dataset=dict(
        labelled=dict(_delete_=True, num=0),
        labelled_pipeline=None,
        unlabelled_pipeline=None,
        pipeline=[dict(type='RandomHorizontalFlip'), dict(type='PackSemiInputs')],
    ),
)
optim_wrapper = dict(optimizers=dict(denoiser=dict(lr=1e-3)), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_iters=150, val_interval=150)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.95, mode='eval'),
    dict(type='DiffusionHook', interval=0, num=16, steps=20),
]
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
val_dataloader = val_evaluator = test_dataloader = test_evaluator = None
