# Mean Teacher on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations.
_base_ = '../sup_only/lite_fundus.py'
model = dict(
    type='MeanTeacher',
    teachers=['unet'],
    sup_loss=dict(ce_weight=0.5, dice_weight=0.5, eps=1e-5),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=2))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
