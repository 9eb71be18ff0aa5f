# CPS on BUSI with the U-Net, labels, views and iterations of configs/sup_only/busi.py.
_base_ = [
    '../_base_/datasets/busi.py',
    '../_base_/models/two_unets.py',
    '../_base_/schedules/sup_only_two.py',
]
train_cfg = dict(max_iters=30000)
