# Ablation "Base (U-Net)" of configs/synfoc/lite_fundus.py: one network, its own EMA teacher,
# copy-paste.
_base_ = './lite_fundus.py'
model = dict(
    _delete_=True,
    type='FixMatch',
    copy_paste=True,
    students=dict(unet={{_base_.model.students.unet}}),
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95),
)
optim_wrapper = dict(
    optimizers=dict(_delete_=True, unet=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4))
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC']))
