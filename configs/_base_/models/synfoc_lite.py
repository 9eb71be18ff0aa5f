# SynFoC for small machines: LiteMedSAM with LoRA and a U-Net a quarter as wide.
_base_ = './synfoc.py'
model = dict(
    students=dict(
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(arch='lite', checkpoint='lite_medsam'),
        ),
        unet=dict(backbone=dict(base_channels=16), decode_head=dict(in_channels=16, channels=16)),
    ),
    data_preprocessor=dict(_delete_=True),
)
