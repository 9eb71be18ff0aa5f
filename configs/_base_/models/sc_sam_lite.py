# SC-SAM for small machines: LiteMedSAM, narrow networks that make the box tokens, a narrow U-Net.
_base_ = './sc_sam.py'
widths = (8, 16, 32, 64, 128)
model = dict(
    students=dict(
        unet=dict(backbone=dict(widths=widths), decode_head=dict(in_channels=widths)),
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(arch='lite', checkpoint='lite_medsam', width=32),
        ),
    ),
)
