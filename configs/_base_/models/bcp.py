# BCP on the U-Net of SSL4MIS.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='BCP',
    teachers=['unet'],
    pretrain=0.25,
    patch=2 / 3,
    u_weight=0.5,
    largest_component=True,
    # The paper's numbers were reached with the background's Dice term unmasked, a fault that its
    # authors mended afterwards: mask_background=True is their code of today.
    sup_loss=dict(
        type='DiceCELoss',
        ce_weight=0.5,
        dice_weight=0.5,
        eps=1e-10,
        mask_background=False,
        masked_mean=True,
    ),
)
