# MedSAM without training on Prostate, prompted by the boxes of the truth.
_base_ = ['../_base_/datasets/prostate.py', '../_base_/models/medsam.py']
test_dataloader = dict(
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),  # the model resizes
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=None),  # scored at the size of the file, 384 px
        ],
    ),
)
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
