# The schedule of ssl4mis_3d.py for two networks.
_base_ = './ssl4mis_3d.py'
optim_wrapper = dict(
    optimizers=dict(vnet2=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
