# Ensembling study: `ConstantRatio` in place of SMC, without consistency between the students.
_base_ = 'prostate_smc.py'
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train'),
    dict(type='SMCEnsembleHook', rule=dict(type='ConstantRatio')),
]
