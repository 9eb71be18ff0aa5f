# DTC on Left Atrium with 4 labelled volumes.
_base_ = './left_atrium.py'
train_dataloader = dict(dataset=dict(labelled=dict(num=4)))
