# The schedule of ss_net.py in 2,000 iterations.
_base_ = './ssl4mis_constant_lite.py'
optim_wrapper = dict(
    optimizers=dict(contrast=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
)
