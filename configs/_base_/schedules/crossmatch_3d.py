# AdamW as CrossMatch trains the V-Net: 14,000 iterations at the rates of 17,000.
_base_ = './ua_mt_3d.py'
optim_wrapper = dict(
    optimizers=dict(vnet=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=1e-4)),
)
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=0,
        power=0.9,
        stretch=17000 / 14000,
        begin=0,
        end='max_iters',
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=14000, val_interval=2000)
