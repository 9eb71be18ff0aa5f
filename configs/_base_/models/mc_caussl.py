# CauSSL on one encoder and three decoders that differ in their upsampling.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='MCCauSSL',
    students=dict(
        unet=dict(
            decode_head=dict(
                type='MultiDecoderHead', upsample=('transposed', 'bilinear', 'nearest')
            ),
        ),
    ),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    first_only=True,  # the released code; False lets all decoders learn to be independent
)
