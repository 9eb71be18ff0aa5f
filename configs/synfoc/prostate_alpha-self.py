# Ensembling study: `SelfConfidence` in place of SMC, without consistency between the students.
_base_ = 'prostate_smc.py'
model = dict(ensemble=dict(type='SelfConfidence'))
