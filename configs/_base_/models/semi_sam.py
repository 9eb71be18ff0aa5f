# What SemiSAM adds to a Mean Teacher: MedSAM at 1024 px, asked with boxes.
semi_sam = dict(
    type='SemiSAM',
    sam=dict(
        type='PromptedSAM',
        arch='vit_b',
        img_size=1024,
        checkpoint='medsam_vit_b',
        attention='sdpa',
    ),
    prompt='box',
    margin=10,  # MedSAM was trained with 0 to 20
    largest_component=True,
    sup_loss=dict(ce_weight=1.0, dice_weight=1.0),
)
