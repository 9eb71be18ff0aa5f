# BCP on Fundus: 20 labelled images of one domain, 30,000 iterations, a quarter of pre-training.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/bcp_mixed_domain.py',
    '../_base_/schedules/bcp_mixed_domain.py',
]
train_cfg = dict(max_iters=30000)
published = 'bcp'  # printed beside the results
