# SAMed on ACDC: 7 patients, with the batch, rate, length and views that it has on Synapse.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
model = dict(
    students=dict(sam=dict(decode_head=dict(num_classes=4))),
    parts=[[1], [2], [3]],
)
# turned, flipped or rotated at the size of the data, then brought to 512 px
enlarge = dict(type='ResizeSquare', size=_base_.sam_size, interpolation='bicubic')
train_dataloader = dict(
    batch_sampler=dict(num_labelled=24, num_unlabelled=0),
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
# 200 epochs of 93 batches, of which 160 are trained
param_scheduler = [dict(type='WarmupPolyLR', warmup=250, end=18600, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=14880)
