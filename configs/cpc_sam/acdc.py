# CPC-SAM on ACDC: 7 labelled patients, 30,000 batches of 6 + 6 slices.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/cpc_sam.py',
    '../_base_/schedules/cpc_sam.py',
]
model = dict(
    students=dict(sam=dict(decode_head=dict(num_classes=4))),
    parts=[[1], [2], [3]],
)
# turned and flipped, rotated, or neither at the size of the data, then brought to 512 px
enlarge = dict(type='ResizeSquare', size=_base_.sam_size, interpolation='bicubic')
pipeline = [*_base_.weak_view, enlarge, dict(type='PackSemiInputs')]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=6, num_unlabelled=6),
    dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline),
)
prepare = [
    dict(type='LoadImage'),
    dict(type='ResizeSquare', size=_base_.image_size, interpolation='zoom'),
    enlarge,
    dict(type='LoadMask'),  # at its own size, at which volumes are scored
]
val_dataloader = dict(dataset=dict(prepare=prepare))
test_dataloader = dict(dataset=dict(prepare=prepare))
train_cfg = dict(val_interval=200)
