# SemiSAM on BUSI: an eighth of the benign images labelled, 30,000 iterations, MedSAM at 1024 px.
_base_ = ['../mean_teacher/busi.py', '../_base_/models/semi_sam.py']
model = _base_.semi_sam
published = 'semi_sam'  # printed beside the results
