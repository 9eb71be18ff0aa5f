# BCP on the U-Net of SynFoC.
_base_ = './sup_only.py'
model = dict(
    type='BCP',
    teachers=['unet'],
    pretrain=0.25,
    patch=2 / 3,
    u_weight=0.5,
    largest_component=True,
    sup_loss=dict(ce_weight=0.5, dice_weight=0.5, mask_background=False, masked_mean=True),
)
