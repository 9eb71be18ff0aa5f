# CPS on ACDC with CutMix of pairs of unlabelled slices: 12 and the 12 that are mixed into them.
_base_ = './acdc.py'
model = dict(cutmix=True)
train_dataloader = dict(
    batch_sampler=dict(num_unlabelled=24),
    dataset=dict(
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='RandomPasteBox'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
