# CPS on Prostate with the U-Net, labels, views and iterations of configs/sup_only/prostate.py.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/two_unets.py',
    '../_base_/schedules/sup_only_two.py',
]
