# SemiSAM on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices, MedSAM at 1024 px.
_base_ = '../mean_teacher/acdc.py'
model = dict(
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
    parts=[[1], [2, 3], [3]],  # right ventricle, left ventricle with and without its wall
    sup_loss=dict(ce_weight=1.0, dice_weight=1.0),
    start=0,
)
