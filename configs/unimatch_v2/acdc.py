# UniMatch V2 on ACDC, the recipe of configs/unimatch/acdc.py: 7 labelled patients, 300 epochs of 98
# batches of 12 + 12 slices, each unlabelled one mixed with another of its batch.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/unimatch_v2.py',
    '../_base_/schedules/ssl4mis.py',
]
train_dataloader = dict(batch_sampler=dict(num_labelled=12, num_unlabelled=12))
train_cfg = dict(max_iters=29400, val_interval=98)  # validated after every epoch
