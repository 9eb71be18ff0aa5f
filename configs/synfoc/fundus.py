# SynFoC on Fundus: 20 labelled images of one domain, 30,000 iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
train_cfg = dict(max_iters=30000)
published = 'synfoc'  # printed beside the results
