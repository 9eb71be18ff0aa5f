# CPC-SAM on ACDC: 7 labelled patients, 30,000 batches of 6 + 6 slices.
_base_ = [
    '../_base_/datasets/acdc_sam.py',
    '../_base_/models/cpc_sam.py',
    '../_base_/schedules/cpc_sam.py',
]
model = dict(
    data_preprocessor=dict(sizes=dict(sam=dict(image=_base_.sam_size, label=_base_.sam_size)))
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=6, num_unlabelled=6),
    dataset=dict(unlabelled_pipeline={{_base_.pipeline}}),
)
train_cfg = dict(val_interval=200)
