# SS-Net on the U-Net of SynFoC.
_base_ = './sup_only.py'
model = dict(
    type='SSNet',
    sup_loss=dict(_delete_=True, type='DiceCELoss', ce_weight=0),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
    vat=dict(xi=10.0, eps=6.0),
    contrast=dict(channels=32, memory_size=32, keep='lowest', weigh_memory=False),
    contrast_weight=0.1,
)
