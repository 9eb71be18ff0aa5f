# The schedule of sass_net.py in 2,000 iterations.
_base_ = './sass_net.py'
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
