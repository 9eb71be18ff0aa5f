# BCP on Left Atrium: 16 labelled volumes, 4 + 4 patches a batch, 2,000 iterations of pre-training
# and 15,000 of self-training. The released code picks the checkpoints of both on the test volumes.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_bcp.py',
    '../_base_/schedules/bcp_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
train_dataloader = dict(batch_sampler=dict(num_labelled=4, num_unlabelled=4))
