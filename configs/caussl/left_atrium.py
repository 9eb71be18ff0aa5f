# CauSSL on cross pseudo supervision, Left Atrium: the settings of its code for Pancreas-CT, 16
# labelled volumes, 5,000 batches of 2 + 2 patches. No code of it for these data is released.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnets_caussl.py',
    '../_base_/schedules/caussl_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
