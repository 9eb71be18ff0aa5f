# The labels-only control of configs/synfoc/lite_fundus.py: same U-Net, labels and iterations.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/sup_only.py',
    '../_base_/schedules/sup_only.py',
]
model = dict(
    students=dict(
        unet=dict(
            backbone=dict(base_channels=16),
            decode_head=dict(in_channels=16, channels=16),
        )
    ),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
param_scheduler = dict(_delete_=True)
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
