# The schedule of sup_only.py, and the teacher.
_base_ = './sup_only.py'
param_scheduler = dict(
    unet=[dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)]
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
