# Ablation "SMC" of configs/synfoc/lite_fundus.py: without consistency between the students.
_base_ = './lite_fundus.py'
model = dict(consistency=None)
