# SemiSAM on M&Ms: 5 labelled slices of one vendor, 60,000 iterations, MedSAM at 1024 px.
_base_ = ['../mean_teacher/mnms.py', '../_base_/models/semi_sam.py']
model = dict(
    _base_.semi_sam,
    parts=[[1], [1, 2], [3]],  # left ventricle, the same with its wall, right ventricle
)
published = 'semi_sam'  # printed beside the results
