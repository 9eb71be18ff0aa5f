# SS-Net on Fundus: 20 labelled images of one domain, 30,000 iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/ss_net_mixed_domain.py',
    '../_base_/schedules/ss_net_mixed_domain.py',
]
train_cfg = dict(max_iters=30000)
published = 'ss_net'  # printed beside the results
