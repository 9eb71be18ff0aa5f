# SynFoC on BUSI: an eighth of the images labelled, 64 of one class, 30,000 iterations.
_base_ = [
    '../_base_/datasets/busi.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
train_cfg = dict(max_iters=30000)
published = 'synfoc'  # printed beside the results
