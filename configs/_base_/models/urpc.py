# URPC on the U-Net of SSL4MIS: a prediction from every step of the decoder.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='URPC',
    students=dict(
        unet=dict(
            # noise on the small maps; the largest map's is the last
            decode_head=dict(type='UNetPyramidHead', noise=('dropout', 'attention', 'scale')),
        ),
    ),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
