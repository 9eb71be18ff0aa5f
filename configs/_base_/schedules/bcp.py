# BCP: 10,000 iterations of pre-training and 30,000 of self-training at one rate.
_base_ = './ssl4mis.py'
param_scheduler = []
train_cfg = dict(max_iters=40000)
custom_hooks = [
    # the whole state of the network is averaged, from the first iteration on
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='ema', mode='train'),
    dict(type='PretrainHook'),
]
