# The V-Net of vnet_lite.py with three classes, and with less dropout of its channels. Each patch
# is normalised by itself: in batches of two and two, BatchNorm fits the few labelled patches by the
# company they are in and does not carry over to others.
_base_ = './vnet_lite.py'
norm = dict(type='IN3d', affine=True)
model = dict(
    students=dict(
        vnet=dict(
            backbone=dict(norm_cfg=norm, dropout=0.2),
            decode_head=dict(num_classes=3, norm_cfg=norm, dropout=0.2),
        ),
    ),
)
