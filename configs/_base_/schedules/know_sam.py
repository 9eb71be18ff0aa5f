# Adam for SAM's adapters and SGD for the networks, all falling to 0 in a straight line.
_base_ = '../default_runtime.py'
sgd = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(sam=dict(type='Adam', lr=1e-4), unet=sgd, vnet=sgd, fusion=sgd),
    dtype='auto',
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=1.0, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=50000, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    checkpoint=dict(interval=500, max_keep_ckpts=1, save_best=['fusion/DSC', 'sam/DSC'])
)
