# The schedule of hippocampus_lite.py for two networks.
_base_ = './hippocampus_lite.py'
optim_wrapper = dict(
    optimizers=dict(vnet2=dict(type='Adam', lr=0.001)),
)
