# Ablation "CDCR": consistency alone, every student with its own teacher.
_base_ = 'prostate.py'
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train'),
    dict(type='SMCEnsembleHook', rule=dict(type='OwnTeacher')),
]
published = None  # the published table is of the whole method
