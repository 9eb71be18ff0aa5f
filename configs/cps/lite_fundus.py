# CPS on real Fundus images at 96 px, beside configs/sup_only/lite_fundus.py.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/two_unets.py',
    '../_base_/schedules/sup_only_two.py',
]
student = dict(
    backbone=dict(base_channels=16),
    decode_head=dict(in_channels=16, channels=16),
)
model = dict(students=dict(unet=student, unet2=student))
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
