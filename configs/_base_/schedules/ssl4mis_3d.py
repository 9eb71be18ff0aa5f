# SGD with polynomial decay, 30,000 iterations, as SSL4MIS trains on volumes.
_base_ = './ua_mt_3d.py'
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)
]
train_cfg = dict(max_iters=30000, val_interval=5000)
