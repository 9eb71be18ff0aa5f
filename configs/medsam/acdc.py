# MedSAM without training on ACDC, prompted by the boxes of the truth; scored by volume.
_base_ = ['../_base_/datasets/acdc.py', '../_base_/models/medsam.py']
model = dict(parts=[[1], [2, 3], [3]])  # RV, myocardium with LV, LV
test_dataloader = dict(batch_size=4, dataset=dict(prepare=_base_.as_stored[:2]))
test_evaluator = dict(selection=None)
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
