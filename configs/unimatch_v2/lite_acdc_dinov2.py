# UniMatch V2 with DINOv2-S on ACDC at 70 px (5 x 5 patches), beside lite_acdc.py at 64 px.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/unimatch_v2_dinov2.py',
    '../_base_/schedules/dinov2.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=8), dataset=dict(image_size=70))
test_dataloader = dict(dataset=dict(image_size=70))
val_dataloader = dict(dataset=dict(image_size=70))
train_cfg = dict(max_iters=2000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=100), logger=dict(interval=20))
