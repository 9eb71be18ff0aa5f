# ACDC for SAM's encoder: turned and flipped, rotated, or neither at the size of the data, then
# brought to 512 px.
_base_ = './acdc.py'
sam_size = 512
enlarge = dict(type='ResizeSquare', size=sam_size, interpolation='bicubic')
pipeline = [*_base_.weak_view, enlarge, dict(type='PackSemiInputs')]
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline))
test_dataloader = dict(
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),
            dict(type='ResizeSquare', interpolation='zoom'),
            enlarge,
            dict(type='LoadMask'),  # at its own size, at which volumes are scored
        ]
    )
)
val_dataloader = test_dataloader
