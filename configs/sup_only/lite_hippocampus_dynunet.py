# The strong base of the hippocampus: nnU-Net's patch and augmentation on 8 labelled volumes, with a
# narrow network, for a machine without a GPU.
_base_ = [
    '../_base_/views/nnunet_3d.py',
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/dynunet_hippocampus_lite.py',
    '../_base_/schedules/hippocampus_lite.py',
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
optim_wrapper = dict(optimizers=dict(_delete_=True, dynunet=dict(type='Adam', lr=0.001)))
# as long as the other methods on this data
train_cfg = dict(max_iters=800, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
