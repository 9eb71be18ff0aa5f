# The labels-only control of configs/unimatch_v2/lite_fundus_dinov2.py: same network and labels.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/dinov2.py',
    '../_base_/schedules/dinov2.py',
]
size = dict(image_size=98, box_size=98)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0), dataset=size)
test_dataloader = dict(dataset=size)
val_dataloader = dict(dataset=size)
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
