# ABD over BCP on ACDC: 7 patients, 10,000 + 30,000 batches of 12 + 12 slices.
_base_ = ['../bcp/acdc.py', '../_base_/views/abd.py']
model = dict(
    type='ABDBCP',
    students=dict(unet2={{_base_.model.students.unet}}),
    primary='unet',
    grid=4,
    top=4,
    similar=0.5,  # else the surest patch
)
optim_wrapper = dict(
    optimizers=dict(unet2=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
find_unused_parameters = True  # the second network waits for the pre-training of the first
pipeline = _base_.abd_pipeline
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'unet2/DSC']))
