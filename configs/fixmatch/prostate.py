# FixMatch on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = '../sup_only/prostate.py'
model = dict(
    type='FixMatch',
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95),
    ramp=dict(type='GaussianRamp', stairs=200),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=4))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
published = 'fixmatch'  # printed beside the results
