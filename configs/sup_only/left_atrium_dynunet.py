# The strong base of the Left Atrium: what nnU-Net would train on 16 labelled volumes alone.
_base_ = [
    '../_base_/views/nnunet_3d.py',
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/dynunet_left_atrium.py',
    '../_base_/schedules/nnunet.py',
]
pipeline = [
    # a third of the patches is cut around foreground
    dict(type='RandomCrop', size=_base_.planned_patch, foreground=0.33, pad=0),
    *_base_.nnunet_view,
    dict(type='PackSemiInputs'),
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=2, num_unlabelled=0),
    dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline),
)
