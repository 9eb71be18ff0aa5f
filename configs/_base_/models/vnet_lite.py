# A V-Net of half the width: a quarter of the parameters and of the work.
_base_ = './vnet.py'
widths = (8, 16, 32, 64, 128)
model = dict(
    students=dict(
        vnet=dict(
            backbone=dict(widths=widths),
            decode_head=dict(in_channels=widths),
        ),
    ),
)
