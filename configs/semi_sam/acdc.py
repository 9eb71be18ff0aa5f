# SemiSAM on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices, MedSAM at 1024 px.
_base_ = ['../mean_teacher/acdc.py', '../_base_/models/semi_sam.py']
model = dict(
    _base_.semi_sam,
    parts=[[1], [2, 3], [3]],  # right ventricle, left ventricle with and without its wall
    start=0,
)
