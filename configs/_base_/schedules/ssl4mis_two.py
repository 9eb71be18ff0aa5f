# The schedule of ssl4mis.py for two networks.
_base_ = './ssl4mis.py'
optim_wrapper = dict(
    optimizers=dict(unet2=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'unet2/DSC']))
