# MC-Net on the U-Net of SSL4MIS: two decoders.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='MCNet',
    students=dict(
        unet=dict(
            decode_head=dict(type='MultiDecoderHead', upsample=('bilinear', 'transposed')),
        ),
    ),
    # Dice alone, without the factor 2 of its numerator
    sup_loss=dict(_delete_=True, type='DiceCELoss', ce_weight=0, dice_weight=0.5),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    temperature=0.1,
)
