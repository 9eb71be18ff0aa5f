# SS-Net on Drishti-GS and REFUGE at 96 px, the data of configs/synfoc/lite_fundus.py.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/ss_net_mixed_domain.py',
    '../_base_/schedules/ss_net_mixed_domain.py',
]
model = dict(
    students=dict(
        unet=dict(
            backbone=dict(base_channels=16),
            decode_head=dict(in_channels=16, channels=16),
        )
    ),
    # as large for a pixel as 10 and 6 at 256 px
    vat=dict(xi=_base_.image_size * 10 / 256, eps=_base_.image_size * 6 / 256),
)
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
