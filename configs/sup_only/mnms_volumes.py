# The labels alone on M&Ms by patient, the control of configs/mcsd/mnms.py: 5 patients.
_base_ = [
    '../_base_/datasets/mnms_volumes.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis.py',
]
train_dataloader = dict(batch_sampler=dict(num_labelled=24, num_unlabelled=0))
