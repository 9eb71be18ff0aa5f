# SASSNet on Left Atrium as published: 16 labelled volumes, 6,000 batches of 2 + 2 patches.
_base_ = [
    '../_base_/datasets/left_atrium_distances.py',
    '../_base_/models/vnet_sass_net.py',
    '../_base_/schedules/sass_net_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
