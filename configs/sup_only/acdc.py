# The labels alone on ACDC as SSL4MIS trains them: 7 patients, 30,000 batches of 24 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis.py',
]
train_dataloader = dict(batch_sampler=dict(num_labelled=24, num_unlabelled=0))
