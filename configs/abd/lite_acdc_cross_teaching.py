# ABD over cross teaching on ACDC at 64 px, beside configs/cross_teaching/lite_acdc.py.
_base_ = ['../cross_teaching/lite_acdc.py', '../_base_/views/abd.py']
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
