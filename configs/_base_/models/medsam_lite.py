# LiteMedSAM as published, TinyViT at 256 px, the longer side resized and the rest padded.
_base_ = './medsam.py'
model = dict(
    sam=dict(arch='lite', img_size=256, checkpoint='lite_medsam'),
    keep_ratio=True,
)
