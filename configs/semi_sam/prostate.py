# SemiSAM on Prostate: 20 labelled slices of one site, 60,000 iterations, MedSAM at 1024 px.
_base_ = ['../mean_teacher/prostate.py', '../_base_/models/semi_sam.py']
model = _base_.semi_sam
published = 'semi_sam'  # printed beside the results
