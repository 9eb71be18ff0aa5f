# CPS on ACDC with CutMix of pairs of unlabelled slices: 12 and the 12 that are mixed into them.
_base_ = './acdc.py'
model = dict(cutmix=True)
train_dataloader = dict(
    batch_sampler=dict(num_unlabelled=24),
    dataset=dict(
        unlabelled_pipeline=[
            dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=1.0, degrees=20),
            dict(type='RandomPasteBox', size=_base_.image_size),
            dict(type='PackSemiInputs'),
        ],
    ),
)
