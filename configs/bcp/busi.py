# BCP on BUSI: an eighth of the benign images labelled, 30,000 iterations, a quarter pre-training.
_base_ = [
    '../_base_/datasets/busi.py',
    '../_base_/models/bcp_mixed_domain.py',
    '../_base_/schedules/bcp_mixed_domain.py',
]
train_cfg = dict(max_iters=30000)
published = 'bcp'  # printed beside the results
