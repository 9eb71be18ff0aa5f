# SGD with polynomial decay, as the codes on ACDC train the small U-Net.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(unet=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
    dtype='auto',
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=30000, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1, save_best=['unet/DSC']))
