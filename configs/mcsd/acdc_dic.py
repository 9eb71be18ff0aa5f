# Ablation: the two strong views alone (DIC), no diffusion model.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/ssl4mis.py',
]
model = dict(students=dict(feature_unet=None), neck=None)
train_cfg = dict(max_iters=44100)
