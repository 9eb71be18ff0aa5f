# Mean Teacher on ACDC as in SSL4MIS: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis.py',
]
model = dict(type='MeanTeacher', teachers=['unet'], start=1000)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
