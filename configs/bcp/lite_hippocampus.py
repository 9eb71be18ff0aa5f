# BCP on 8 labelled hippocampus volumes, for a machine without a GPU: a fifth of the iterations is
# pre-training.
_base_ = [
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(
    type='BCP',
    teachers=['vnet'],
    pretrain=0.2,
    sup_loss=dict(mask_background=True, masked_mean=True, squared=False, per_image=True, eps=1e-5),
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5),
)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='keep', mode='train'),
    dict(type='PretrainHook'),
]
