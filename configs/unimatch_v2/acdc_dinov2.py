# UniMatch V2 with its own network, DINOv2-S, on ACDC at 252 px (18 x 18 patches): 7 labelled
# patients, iterations and batches of acdc.py. tools/download_weights.py gets dinov2_vits14.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/unimatch_v2_dinov2.py',
    '../_base_/schedules/dinov2.py',
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=12, num_unlabelled=12), dataset=dict(image_size=252)
)
test_dataloader = dict(dataset=dict(image_size=252))
val_dataloader = dict(dataset=dict(image_size=252))
train_cfg = dict(max_iters=29400, val_interval=98)  # validated after every epoch
