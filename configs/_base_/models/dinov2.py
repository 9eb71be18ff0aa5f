# DINOv2-S with the DPT head of UniMatch V2 (24.8 million parameters) on the labelled images alone.
model = dict(
    type='SupOnly',
    students=dict(
        vit=dict(
            type='EncoderDecoder',
            backbone=dict(type='DINOv2', arch='vit_s'),
            decode_head=dict(type='DPTDecoderHead'),
        ),
    ),
    sup_loss=dict(type='DiceCELoss', dice_weight=0),
    # as ImageNet's photographs: a grey slice is repeated
    data_preprocessor=dict(
        sizes=dict(
            vit=dict(channels=3, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
        )
    ),
)
