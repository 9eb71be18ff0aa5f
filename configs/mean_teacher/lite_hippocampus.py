# Mean Teacher on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(
    type='MeanTeacher',
    teachers=['vnet'],
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
