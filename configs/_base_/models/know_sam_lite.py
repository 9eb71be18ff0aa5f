# KnowSAM for small machines: LiteMedSAM, narrow networks that make the box tokens, narrow U-Net and
# V-Net.
_base_ = './know_sam.py'
widths = (8, 16, 32, 64, 128)
model = dict(
    students=dict(
        unet=dict(backbone=dict(widths=widths), decode_head=dict(in_channels=widths)),
        vnet=dict(backbone=dict(widths=widths), decode_head=dict(in_channels=widths)),
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(arch='lite', checkpoint='lite_medsam', width=32),
        ),
    ),
    exchange_start=480,  # of 2,000 iterations, as 12,000 of 50,000
)
