# MedSAM without training on M&Ms, prompted by the boxes of the truth.
_base_ = ['../_base_/datasets/mnms.py', '../_base_/models/medsam.py']
model = dict(parts=[[1], [1, 2], [3]])  # LV, myocardium with LV, RV
test_dataloader = dict(dataset=dict(prepare=_base_.as_stored))
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
