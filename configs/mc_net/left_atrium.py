# MC-Net on Left Atrium: 16 labelled volumes, 15,000 batches of 2 + 2 patches.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_mc_net.py',
    '../_base_/schedules/mc_net_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
