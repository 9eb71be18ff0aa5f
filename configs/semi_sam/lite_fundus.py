# SemiSAM on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations, with
# LiteMedSAM at the images' own 96 px, where it segments them no worse than at its 256 px.
_base_ = '../mean_teacher/lite_fundus.py'
model = dict(
    type='SemiSAM',
    sam=dict(type='PromptedSAM', arch='lite', img_size=96, checkpoint='lite_medsam'),
    prompt='box',
    margin=3,
    largest_component=True,
    sup_loss=dict(ce_weight=1.0, dice_weight=1.0),
)
