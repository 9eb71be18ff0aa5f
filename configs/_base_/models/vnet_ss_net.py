# SS-Net on the V-Net. On volumes the Dice loss is that of the foreground, with p and g, not their
# squares, in its denominator.
_base_ = './vnet.py'
model = dict(
    type='SSNet',
    sup_loss=dict(
        _delete_=True, type='DiceCELoss', ce_weight=0, background=False, squared=False, eps=1e-8
    ),
    # 40 stairs of 150 iterations, of 15,000
    ramp=dict(type='GaussianRamp', scale=1.0, stairs=40, length=6000 / 15000),
    # and its VAT compares by one such loss over both classes
    vat=dict(xi=10.0, eps=10.0, plain=True, smooth=1e-8),
    contrast=dict(channels=32, memory_size=32, keep='lowest', weigh_memory=False),
    contrast_weight=0.1,
)
