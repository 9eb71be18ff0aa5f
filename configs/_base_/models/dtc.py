# DTC on the U-Net of SSL4MIS: four classes, and distances for each but the background. The weights
# are those of the V-Net; for slices none are published.
_base_ = './ssl4mis_unet.py'
model = dict(
    type='DTC',
    students=dict(unet=dict(decode_head=dict(type='UNetDistanceHead'))),
    ramp=dict(type='GaussianRamp', scale=1.0, stairs=40),
)
