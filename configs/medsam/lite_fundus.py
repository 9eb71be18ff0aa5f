# LiteMedSAM without training on two fundus domains, prompted by the boxes of the truth. Images
# come at their own size; scores are at 96 px, like those of the other lite_fundus.py.
_base_ = ['../_base_/datasets/fundus_flat.py', '../_base_/models/medsam_lite.py']
model = dict(parts=[[1], [1, 2]])  # cup, disc
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),  # the model resizes
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=_base_.image_size),
        ],
    ),
)
train_dataloader = val_dataloader = val_evaluator = None  # nothing is trained
