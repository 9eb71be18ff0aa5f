# The labels alone on 8 hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5))
# as many labelled patches a step as the other methods have of both kinds
train_dataloader = dict(batch_sampler=dict(num_labelled=4, num_unlabelled=0))
