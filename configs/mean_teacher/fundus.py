# Mean Teacher on Fundus: 20 labelled images of one domain, 30,000 iterations.
_base_ = '../sup_only/fundus.py'
model = dict(
    type='MeanTeacher',
    teachers=['unet'],
    sup_loss=dict(ce_weight=0.5, dice_weight=0.5, eps=1e-5),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=4))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
published = None  # the published table is of the labels alone
