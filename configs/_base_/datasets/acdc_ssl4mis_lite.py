# The views and batch of acdc_ssl4mis.py at 64 px, for a machine without a GPU.
_base_ = './acdc_ssl4mis.py'
image_size = 64
train_dataloader = dict(num_workers=0, dataset=dict(image_size=image_size))
test_dataloader = dict(num_workers=0, dataset=dict(image_size=image_size, cache=True))
val_dataloader = test_dataloader
