# ABD over cross teaching on ACDC: 7 patients, 30,000 batches of 8 + 8 slices, 224 px.
_base_ = ['../cross_teaching/acdc.py', '../_base_/views/abd.py']
model = dict(
    type='ABDCrossTeaching',
    grid=4,
    top=4,
    trouble=2.0,  # ABD-I: for half of the labelled slices, in the first two thirds of the training
    trouble_prob=0.5,
    trouble_until=2 / 3,
)
pipeline = _base_.abd_pipeline
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
train_cfg = dict(val_interval=200)
