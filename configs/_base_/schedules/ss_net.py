# SS-Net on ACDC: the small networks of its contrastive terms learn like the U-Net.
_base_ = './ssl4mis_constant.py'
optim_wrapper = dict(
    optimizers=dict(contrast=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
)
