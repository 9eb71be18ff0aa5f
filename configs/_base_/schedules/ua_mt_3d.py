# SGD as UA-MT trains the V-Net: 6,000 iterations, a tenth of the rate after every 2,500.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(vnet=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
    dtype='auto',
)
param_scheduler = [dict(type='StepLR', step_size=2500, gamma=0.1, by_epoch=False)]
train_cfg = dict(type='SemiTrainLoop', max_iters=6000, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# the last checkpoint is the one that counts
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
