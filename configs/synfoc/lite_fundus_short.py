# SynFoC's learning rates for short trainings: SAMed's for the foundation model, and both warmed up
# and brought down to 0, where the paper keeps them as they are for tens of thousands of iterations.
_base_ = './lite_fundus.py'
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 / 12)))
param_scheduler = [
    dict(type='WarmupPolyLR', by_epoch=False, power=0.9, warmup=250, end='max_iters'),
]
