# Mean Teacher on 2 labelled volumes of the phantom and 14 unlabelled ones.
_base_ = '../sup_only/lite_phantom_mri.py'
model = dict(type='MeanTeacher', teachers=['vnet'])
train_dataloader = dict(batch_sampler=dict(num_unlabelled=2))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
