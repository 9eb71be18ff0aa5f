# Ablation: the two strong views alone (DIC), no diffusion model.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
model = dict(students=dict(feature_unet=None), neck=None)
