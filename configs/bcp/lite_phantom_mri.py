# BCP on 2 labelled volumes of the phantom and 14 unlabelled ones.
_base_ = '../sup_only/lite_phantom_mri.py'
model = dict(
    type='BCP',
    teachers=['vnet'],
    pretrain=0.5,
    # by parts, the loss of the pre-training can lose the outer zone, and never finds it again
    joint_pretrain=True,
    sup_loss=dict(mask_background=True, masked_mean=True),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=4))
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='keep', mode='train'),
    dict(type='PretrainHook'),
]
