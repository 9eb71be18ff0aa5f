# The U-Net of SSL4MIS (1.8 million parameters) on the labelled images alone.
model = dict(
    type='SupOnly',
    students=dict(
        unet=dict(
            type='EncoderDecoder',
            backbone=dict(type='UNetEncoder'),
            decode_head=dict(type='UNetDecoderHead'),
        ),
    ),
    # cross-entropy and Dice in equal parts
    sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
)
