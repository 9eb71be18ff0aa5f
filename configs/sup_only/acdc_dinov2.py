# The labels-only control of configs/unimatch_v2/acdc_dinov2.py: same DINOv2, labels and iterations.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/dinov2.py',
    '../_base_/schedules/dinov2.py',
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=12, num_unlabelled=0), dataset=dict(image_size=252)
)
test_dataloader = dict(dataset=dict(image_size=252))
val_dataloader = dict(dataset=dict(image_size=252))
train_cfg = dict(max_iters=29400, val_interval=98)
