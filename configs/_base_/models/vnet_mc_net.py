# MC-Net on the V-Net: two decoders. On volumes the Dice loss of the foreground has p and g, not
# their squares, in its denominator.
_base_ = './vnet.py'
model = dict(
    type='MCNet',
    students=dict(
        vnet=dict(
            decode_head=dict(type='VNetMultiDecoderHead', upsample=('transposed', 'trilinear')),
        ),
    ),
    sup_loss=dict(
        _delete_=True,
        type='DiceCELoss',
        ce_weight=0,
        dice_weight=0.5,
        background=False,
        squared=False,
        eps=1e-8,
    ),
    # 40 stairs of 150 iterations, of 15,000
    ramp=dict(type='GaussianRamp', scale=1.0, stairs=40, length=6000 / 15000),
    temperature=0.1,
)
