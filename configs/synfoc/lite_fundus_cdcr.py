# Ablation "CDCR" of configs/synfoc/lite_fundus.py: every student with its own teacher.
_base_ = './lite_fundus.py'
model = dict(ensemble=dict(type='OwnTeacher'))
