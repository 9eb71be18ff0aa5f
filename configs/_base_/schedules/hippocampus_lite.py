# SGD with polynomial decay, as many iterations for every method, on a machine without a GPU.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(vnet=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
    dtype='auto',
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=600, val_interval=300)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# the last checkpoint is the one that counts
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1), logger=dict(interval=20))
