# SS-Net on volumes: the small networks of its contrastive terms learn like the V-Net.
_base_ = './mc_net_3d.py'
optim_wrapper = dict(
    optimizers=dict(contrast=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
)
