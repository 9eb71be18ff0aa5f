# SemiSAM on Fundus: 20 labelled images of one domain, 30,000 iterations, MedSAM at 1024 px.
_base_ = ['../mean_teacher/fundus.py', '../_base_/models/semi_sam.py']
model = _base_.semi_sam
published = 'semi_sam'  # printed beside the results
