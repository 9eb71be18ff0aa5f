# CPS on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/two_vnets_hippocampus.py',
    '../_base_/schedules/hippocampus_two_lite.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5))
