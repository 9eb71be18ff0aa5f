# Cross teaching on ACDC at 64 px, beside configs/sup_only/lite_acdc.py: a Swin transformer of a
# quarter of the width from scratch, for which SGD is poor, so it has AdamW.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/cross_teaching.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
model = dict(
    students=dict(
        swin=dict(
            backbone=dict(
                in_channels=1,
                embed_dims=24,
                patch_size=2,
                strides=(2, 2, 2, 2),
                window_size=4,
                init_cfg=None,
            ),
            decode_head=dict(in_channels=(24, 48, 96, 192), channels=48, pool_scales=(1, 2)),
        ),
    ),
    data_preprocessor=dict(sizes=dict(swin=dict(_delete_=True, label=1.0))),
)
optim_wrapper = dict(optimizers=dict(swin=dict(type='AdamW', lr=5e-4, weight_decay=0.05)))
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'swin/DSC']))
