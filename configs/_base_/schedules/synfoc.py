# AdamW for MedSAM and SGD for the U-Net, both at a constant rate, as in the released code.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(
        sam=dict(type='AdamW', lr=0.03 / 250, betas=(0.9, 0.999), weight_decay=0.1),
        unet=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
    ),
    dtype='auto',
)
train_cfg = dict(type='SemiTrainLoop', max_iters=60000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train'),
    dict(type='SMCEnsembleHook'),
]
default_hooks = dict(
    checkpoint=dict(interval=500, max_keep_ckpts=1, save_best=['sam/DSC', 'unet/DSC'])
)
