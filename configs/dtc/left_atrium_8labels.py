# DTC on Left Atrium with 8 labelled volumes.
_base_ = './left_atrium.py'
train_dataloader = dict(dataset=dict(labelled=dict(num=8)))
