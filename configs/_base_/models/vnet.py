# The V-Net of UA-MT (9.4 million parameters) on the labelled volumes alone.
model = dict(
    type='SupOnly',
    students=dict(
        vnet=dict(
            type='EncoderDecoder',
            backbone=dict(type='VNetEncoder'),
            decode_head=dict(type='VNetDecoderHead'),
        ),
    ),
    # cross-entropy and Dice in equal parts
    sup_loss=dict(type='DiceCELoss', ce_weight=0.5, dice_weight=0.5, eps=1e-5),
    # the data pipeline has normalised the volumes
    data_preprocessor=dict(mean=0, std=1),
)
