# SGD at one rate, 15,000 iterations, as MC-Net trains the V-Net.
_base_ = './ua_mt_3d.py'
param_scheduler = []
train_cfg = dict(max_iters=15000, val_interval=5000)
