# CrossMatch on ACDC: 7 labelled patients, 300 epochs of 98 batches of 12 + 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/crossmatch.py',
    '../_base_/schedules/ssl4mis.py',
]
# 12 unlabelled slices and the 12 that are mixed into them
train_dataloader = dict(batch_sampler=dict(num_labelled=12, num_unlabelled=24))
optim_wrapper = dict(optimizers=dict(unet=dict(nesterov=True)))
train_cfg = dict(max_iters=29400, val_interval=98)  # validated after every epoch
