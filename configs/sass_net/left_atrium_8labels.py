# SASSNet on Left Atrium with 8 labelled volumes, for which another weight is published.
_base_ = './left_atrium.py'
model = dict(ramp=dict(scale=0.015))
train_dataloader = dict(dataset=dict(labelled=dict(num=8)))
