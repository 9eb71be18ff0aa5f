# Ablation "Base (MedSAM)" of configs/synfoc/lite_fundus.py: one network, its own EMA teacher,
# copy-paste.
_base_ = './lite_fundus.py'
model = dict(
    _delete_=True,
    type='FixMatch',
    copy_paste=True,
    students=dict(sam={{_base_.model.students.sam}}),
    teachers=['sam'],
    threshold=dict(type='FixedThreshold', value=0.95),
)
optim_wrapper = dict(
    optimizers=dict(
        _delete_=True,
        sam=dict(type='AdamW', lr=0.03 / 250, betas=(0.9, 0.999), weight_decay=0.1),
    )
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
default_hooks = dict(checkpoint=dict(save_best=['sam/DSC']))
