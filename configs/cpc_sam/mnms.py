# CPC-SAM on the data of configs/synfoc/mnms.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/cpc_sam.py',
    '../_base_/schedules/cpc_sam.py',
]
train_cfg = dict(max_iters=60000)
published = 'cpc_sam'  # printed beside the results
