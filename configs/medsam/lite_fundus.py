# LiteMedSAM without training on two fundus domains, prompted by the boxes of the truth. Images
# come at their own size; scores are at 96 px, like those of the other lite_fundus.py.
_base_ = ['../_base_/datasets/fundus_flat.py', '../_base_/models/medsam_lite.py']
test_dataloader = dict(batch_size=4, dataset=dict(prepare=_base_.as_stored))
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
