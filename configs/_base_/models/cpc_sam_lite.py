# CPC-SAM for small machines: LiteMedSAM, whose own decoders reach the image's size. One pass of
# the encoder for one optimiser step, and decoders that have seen medical images.
_base_ = './cpc_sam.py'
model = dict(
    students=dict(
        sam=dict(
            backbone=dict(arch='lite', checkpoint='lite_medsam'),
            decode_head=dict(arch='lite', checkpoint='lite_medsam', init='published'),
        ),
    ),
    cross_start=333,  # a sixth of 2,000 iterations, as 5,000 of 30,000
    three_steps=False,
    data_preprocessor=dict(_delete_=True),
)
