# SASSNet on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/hippocampus_distances.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(
    type='SASSNet',
    students=dict(vnet=dict(decode_head=dict(type='VNetDistanceHead'))),
    discriminator=dict(widths=(16, 32, 64, 128)),
    ramp=dict(type='GaussianRamp', scale=0.01),
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5),
)
optim_wrapper = dict(optimizers=dict(discriminators=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))))
# student and discriminator take turns
find_unused_parameters = True
