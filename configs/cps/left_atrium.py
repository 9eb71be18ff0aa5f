# CPS on Left Atrium: the settings of SSL4MIS on volumes, 16 labelled volumes, 30,000 batches of 2 +
# 2 patches. No code of its own is released for these data.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/two_vnets.py',
    '../_base_/schedules/ssl4mis_two_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
