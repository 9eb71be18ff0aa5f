# UniMatch V2 on the U-Net of SSL4MIS, with the losses of the first version on ACDC: no medical code
# of V2 is released. As published for photographs, both losses are cross-entropies:
# sup_loss=unsup_criterion=dict(_delete_=True, type='DiceCELoss', dice_weight=0).
_base_ = './ssl4mis_unet.py'
model = dict(
    type='UniMatchV2',
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    unsup_criterion=dict(type='DiceCELoss', ce_weight=0, mask_background=True, eps=1e-5),
    weights=dict(sup=0.5, image=0.25),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.996, buffers='ema', mode='eval')]
