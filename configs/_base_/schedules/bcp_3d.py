# BCP on volumes: 2,000 iterations of pre-training at one rate and 15,000 of self-training with a
# new optimiser, a tenth of the rate after every 2,500 of them.
_base_ = './ua_mt_3d.py'
param_scheduler = [dict(type='StepLR', step_size=2500, gamma=0.1, begin=2000, by_epoch=False)]
train_cfg = dict(max_iters=17000, val_interval=2000)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='keep', mode='train'),
    dict(type='PretrainHook', keep_optimizer=False),
]
