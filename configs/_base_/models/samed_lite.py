# SAMed for small machines: LiteMedSAM with LoRA, whose logits have the image's size.
_base_ = './samed.py'
model = dict(
    students=dict(
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(arch='lite', checkpoint='lite_medsam'),
        ),
    ),
    data_preprocessor=dict(_delete_=True),
)
