# Adam with polynomial decay, as many iterations for every method, on a machine without a GPU: in so
# few, SGD at the published rate does not find the smaller part.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(vnet=dict(type='Adam', lr=0.001)),
    dtype='auto',
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=800, val_interval=400)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# the last checkpoint is the one that counts
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1), logger=dict(interval=20))
