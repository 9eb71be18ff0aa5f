# SASSNet on the U-Net of DTC, with a discriminator of the distances. The weights are those of the
# V-Net; for slices none are published.
_base_ = './dtc.py'
model = dict(
    type='SASSNet',
    discriminator=dict(in_channels=1, widths=(64, 128, 256, 512), dropout=0.5),
    ramp=dict(scale=0.01),
)
