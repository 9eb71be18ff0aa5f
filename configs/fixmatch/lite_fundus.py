# FixMatch on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations.
_base_ = '../sup_only/lite_fundus.py'
model = dict(type='FixMatch', teachers=['unet'])
train_dataloader = dict(batch_sampler=dict(num_unlabelled=2))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
