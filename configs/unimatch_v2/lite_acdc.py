# UniMatch V2 on ACDC at 64 px, beside configs/unimatch/lite_acdc.py: as many images are taught.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/unimatch_v2.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=8))
