# CrossMatch on the V-Net, the Dice terms those of the foreground alone.
_base_ = './vnet_foreground.py'
model = dict(
    type='CrossMatch',
    # of two classes, against 0.52 rising to 0.67: 14,000 of the 17,000 iterations of its ramp
    threshold=dict(type='RisingThreshold', start=0.75, length=17000 / 14000),
    weights=dict(sup=0.5, image=0.125, distil=0.5),
    dropout=(0.25, 0.75),
    eta=0.3,
    unsup_criterion=dict(
        type='DiceCELoss', ce_weight=0, mask_background=True, background=False, eps=1e-5
    ),
)
