# The schedule of sup_only.py for two networks.
_base_ = './sup_only.py'
optim_wrapper = dict(
    optimizers=dict(unet2=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4)),
)
param_scheduler = dict(
    unet2=[dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)]
)
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'unet2/DSC']))
