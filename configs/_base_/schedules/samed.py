# AdamW with 250 iterations of warm-up and polynomial decay, as SAMed trains 24 images a batch.
_base_ = '../default_runtime.py'
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    type='MultiOptimWrapper',
    optimizers=dict(sam=dict(type='AdamW', lr=0.005, betas=(0.9, 0.999), weight_decay=0.1)),
    dtype='auto',
)
param_scheduler = [
    dict(type='WarmupPolyLR', warmup=250, end='max_iters', power=0.9, by_epoch=False)
]
train_cfg = dict(type='SemiTrainLoop', max_iters=60000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(interval=500, max_keep_ckpts=1, save_best=['sam/DSC']))
