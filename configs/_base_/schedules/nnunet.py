# SGD with Nesterov momentum and polynomial decay, as nnU-Net trains; it takes 250,000 iterations.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(
        dynunet=dict(type='SGD', lr=0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
    ),
    clip_grad=dict(max_norm=12),
    dtype='auto',
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=25000, val_interval=2500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# the last checkpoint is the one that counts
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1))
