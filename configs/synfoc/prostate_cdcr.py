# Ablation "CDCR": consistency alone, every student with its own teacher.
_base_ = 'prostate.py'
model = dict(ensemble=dict(type='OwnTeacher'))
published = None  # the published table is of the whole method
