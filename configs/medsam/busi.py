# MedSAM without training on BUSI, prompted by the boxes of the truth.
_base_ = ['../_base_/datasets/busi.py', '../_base_/models/medsam.py']
test_dataloader = dict(
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),  # the model resizes
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=_base_.unet_size),
        ],
    ),
)
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
