# The defaults of guided-diffusion. MCSD does not say how long it trained its model: 100,000
# iterations of batch 8 are our choice (about 610 passes over ACDC's 1,312 slices).
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(denoiser=dict(type='AdamW', lr=1e-4, weight_decay=0.0)),
    dtype='auto',
)
train_cfg = dict(type='SemiTrainLoop', max_iters=100000, val_interval=100000)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.9999, mode='eval'),
    dict(type='DiffusionHook', interval=5000, num=16, steps=50),
]
# There is nothing to validate: no overlays and no table of scores, samples take their place.
default_hooks = dict(
    _delete_=True,
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    loss_guard=dict(type='LossGuardHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=5000, by_epoch=False, max_keep_ckpts=1),
    progress=dict(type='ProgressHook'),
)
