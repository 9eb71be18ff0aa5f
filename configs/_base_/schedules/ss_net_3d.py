# SS-Net on volumes: 15,000 iterations with UA-MT's steps of the rate, its small networks as the
# V-Net.
_base_ = './ua_mt_3d.py'
optim_wrapper = dict(
    optimizers=dict(contrast=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
)
train_cfg = dict(max_iters=15000, val_interval=5000)
