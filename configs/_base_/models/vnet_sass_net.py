# SASSNet on the V-Net of DTC, with a discriminator of the distances.
_base_ = './vnet_dtc.py'
model = dict(
    type='SASSNet',
    discriminator=dict(in_channels=1, widths=(64, 128, 256, 512), dropout=0.5),
    ramp=dict(scale=0.01),
)
