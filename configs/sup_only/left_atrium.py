# The labels alone on Left Atrium as UA-MT's code trains them: 16 volumes, 6,000 batches of 4
# patches.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_foreground.py',
    '../_base_/schedules/ua_mt_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
train_dataloader = dict(batch_sampler=dict(num_labelled=4, num_unlabelled=0))
