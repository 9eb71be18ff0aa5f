# The schedule of sup_only.py, and the teacher.
_base_ = './sup_only.py'
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
