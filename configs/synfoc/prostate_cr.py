# Ablation "CR": plain squared distance between the students in place of CDCR.
_base_ = 'prostate_cdcr.py'
model = dict(consistency=dict(_delete_=True, type='ConsistencyLoss'))
