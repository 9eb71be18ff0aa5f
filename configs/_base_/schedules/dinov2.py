# AdamW with polynomial decay as UniMatch V2 has it, the encoder at a fortieth of the head's rate.
_base_ = './ssl4mis.py'
optim_wrapper = dict(
    optimizers=dict(
        unet=None,
        vit=dict(
            type='AdamW',
            lr=2e-4,
            betas=(0.9, 0.999),
            weight_decay=0.01,
            paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1 / 40))),
        ),
    ),
)
default_hooks = dict(checkpoint=dict(save_best=['vit/DSC']))
