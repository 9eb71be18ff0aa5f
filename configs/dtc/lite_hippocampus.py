# DTC on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/hippocampus_distances.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(
    type='DTC',
    students=dict(vnet=dict(decode_head=dict(type='VNetDistanceHead'))),
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5),
)
