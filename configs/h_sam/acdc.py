# H-SAM on ACDC: 7 patients, with the batch, rate and length that it has on 10 % of Synapse.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/h_sam.py',
    '../_base_/schedules/h_sam.py',
]
model = dict(
    students=dict(sam=dict(decode_head=dict(num_classes=4))),
    parts=[[1], [2], [3]],
)
# turned, flipped or rotated at the size of the data, then brought to 512 px
enlarge = dict(type='ResizeSquare', size=_base_.sam_size, interpolation='bicubic')
train_dataloader = dict(
    batch_sampler=dict(num_labelled=16, num_unlabelled=0),
    dataset=dict(labelled_pipeline=[*_base_.weak_view, enlarge, dict(type='PackSemiInputs')]),
)
prepare = [
    dict(type='LoadImage'),
    dict(type='ResizeSquare', size=_base_.image_size, interpolation='zoom'),
    enlarge,
    dict(type='LoadMask'),  # at its own size, at which volumes are scored
]
val_dataloader = dict(dataset=dict(prepare=prepare))
test_dataloader = dict(dataset=dict(prepare=prepare))
train_cfg = dict(max_iters=4200)  # 300 epochs of 14 batches
