# CrossMatch on the U-Net of SSL4MIS.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='CrossMatch',
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    weights=dict(sup=0.5, image=0.125, distil=0.25),
    dropout=(0.25, 0.75),
    eta=0.3,
    sup_loss=dict(eps=1e-4),
    unsup_criterion=dict(type='DiceCELoss', ce_weight=0, mask_background=True, eps=1e-4),
)
