# MC-Net+ on Pancreas-CT: 12 labelled volumes, 15,000 batches of 2 + 2 patches of 96 x 96 x 96.
_base_ = [
    '../_base_/datasets/pancreas.py',
    '../_base_/models/vnet_mc_net_plus.py',
    '../_base_/schedules/mc_net_3d.py',
]
model = dict(inferer=_base_.windows)
