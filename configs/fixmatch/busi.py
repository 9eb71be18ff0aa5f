# FixMatch on BUSI: an eighth of the benign images labelled, 30,000 iterations.
_base_ = '../sup_only/busi.py'
model = dict(
    type='FixMatch',
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95),
    ramp=dict(type='GaussianRamp', stairs=200),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=4))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
published = 'fixmatch'  # printed beside the results
