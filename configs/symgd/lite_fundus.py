# SymGD on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations. Classes
# are exclusive as there; the window of low frequencies is 3 x 3 (of 96 px) as 0.01 would be 1 x 1.
_base_ = '../sup_only/lite_fundus.py'
model = dict(
    type='SymGD',
    teachers=['unet'],
    amplitude=0.02,
    data_preprocessor=dict(mean=127.5, std=127.5),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=2))
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
