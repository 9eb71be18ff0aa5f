# CPC-SAM on the data of configs/synfoc/fundus.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/cpc_sam.py',
    '../_base_/schedules/cpc_sam.py',
]
published = 'cpc_sam'  # printed beside the results
