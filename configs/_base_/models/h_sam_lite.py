# H-SAM for small machines: LiteMedSAM with LoRA and two decoders.
_base_ = './h_sam.py'
model = dict(
    students=dict(
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(
                _delete_=True,
                type='HSAMHead',
                arch='lite',
                checkpoint='lite_medsam',
                init='partial_load',
            ),
        ),
    ),
    data_preprocessor=dict(_delete_=True),
)
