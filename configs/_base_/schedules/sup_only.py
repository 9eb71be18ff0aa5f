# SGD with polynomial decay for one network that learns from the labels alone.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(unet=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4)),
    dtype='auto',
)
param_scheduler = dict(
    unet=[dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)]
)
train_cfg = dict(type='SemiTrainLoop', max_iters=60000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1, save_best=['unet/DSC']))
