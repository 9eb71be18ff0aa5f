# URPC on Left Atrium: the settings of SSL4MIS on volumes on the V-Net, 16 labelled volumes, 30,000
# batches of 2 + 2 patches. How the published rows were trained is not said.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_urpc.py',
    '../_base_/schedules/ssl4mis_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
