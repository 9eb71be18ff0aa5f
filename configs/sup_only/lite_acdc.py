# The labels-only control of configs/mcsd/lite_acdc.py: same U-Net, labels and iterations.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
