# Cross teaching on ACDC as SSL4MIS trains it: 7 patients, 30,000 batches of 8 + 8 slices, 224 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/cross_teaching.py',
    '../_base_/schedules/ssl4mis.py',
]
image_size = 224
train_dataloader = dict(
    batch_sampler=dict(num_labelled=8, num_unlabelled=8), dataset=dict(image_size=image_size)
)
val_dataloader = test_dataloader = dict(dataset=dict(image_size=image_size))
optim_wrapper = dict(
    optimizers=dict(swin=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'swin/DSC']))
