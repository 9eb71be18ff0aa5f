# SGD for the two V-Nets of CauSSL: 5,000 iterations, a tenth of the rate after every 2,500.
_base_ = './ua_mt_3d.py'
optim_wrapper = dict(
    optimizers=dict(vnet2=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
train_cfg = dict(max_iters=5000, val_interval=2500)
