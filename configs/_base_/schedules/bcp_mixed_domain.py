# BCP in the frame of SynFoC: its rate, kept constant, and its number of iterations for both stages.
_base_ = './sup_only.py'
param_scheduler = dict(_delete_=True)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='ema', mode='train'),
    dict(type='PretrainHook'),
]
