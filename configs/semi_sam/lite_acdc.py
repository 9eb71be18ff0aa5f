# SemiSAM on ACDC at 64 px, for a machine without a GPU, with LiteMedSAM at 96 px.
_base_ = '../mean_teacher/lite_acdc.py'
model = dict(
    type='SemiSAM',
    sam=dict(type='PromptedSAM', arch='lite', img_size=96, checkpoint='lite_medsam'),
    prompt='box',
    margin=3,
    largest_component=True,
    parts=[[1], [2, 3], [3]],  # right ventricle, left ventricle with and without its wall
    sup_loss=dict(ce_weight=1.0, dice_weight=1.0),
    start=0,
)
