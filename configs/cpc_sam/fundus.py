# CPC-SAM on the data of configs/synfoc/fundus.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/cpc_sam.py',
    '../_base_/schedules/cpc_sam.py',
]
sam_size = _base_.image_size
model = dict(
    students=dict(sam=dict(decode_head=dict(num_classes=3))),
    parts=[[1], [1, 2]],  # cup, disc
)
published = 'cpc_sam'  # printed beside the results
