# Ablation "SMC": the ensemble alone, without consistency between the students.
_base_ = 'prostate.py'
model = dict(consistency=None)
val_evaluator = dict(published=None)  # the published table is of the whole method
test_evaluator = dict(published=None)
