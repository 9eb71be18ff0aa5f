# Mean Teacher on ACDC at 64 px, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
model = dict(type='MeanTeacher', teachers=['unet'], start=67)  # the same part of the training
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
