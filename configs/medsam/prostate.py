# MedSAM without training on Prostate, prompted by the boxes of the truth.
_base_ = ['../_base_/datasets/prostate.py', '../_base_/models/medsam.py']
test_dataloader = dict(dataset=dict(prepare=_base_.as_stored))
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
