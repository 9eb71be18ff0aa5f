# Ablation "SMC": the ensemble alone, without consistency between the students.
_base_ = 'prostate.py'
model = dict(consistency=None)
published = None  # the published table is of the whole method
