# Cross teaching on ACDC as SSL4MIS trains it: 7 patients, 30,000 batches of 8 + 8 slices, 224 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/cross_teaching.py',
    '../_base_/schedules/ssl4mis.py',
]
image_size = 224
resize = dict(type='ResizeSquare', size=image_size, interpolation='zoom')
model = dict(data_preprocessor=dict(sizes=dict(swin=dict(image=image_size, label=image_size))))
train_prepare = [dict(type='LoadImage'), dict(type='LoadMask'), resize]
test_prepare = [dict(type='LoadImage'), resize, dict(type='LoadMask')]  # mask at its own size
train_dataloader = dict(
    batch_sampler=dict(num_labelled=8, num_unlabelled=8), dataset=dict(prepare=train_prepare)
)
val_dataloader = dict(dataset=dict(prepare=test_prepare))
test_dataloader = dict(dataset=dict(prepare=test_prepare))
optim_wrapper = dict(
    optimizers=dict(swin=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'swin/DSC']))
