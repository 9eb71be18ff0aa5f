# MCSD on the phantom's volumes at 64 px for a machine without a GPU: 2 labelled patients. The
# diffusion model comes from configs/mcsd/ddpm_lite_phantom.py.
_base_ = [
    '../_base_/datasets/phantom_volumes.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/mcsd_lite.py',
]
features = 'work_dirs/mcsd/ddpm_lite_phantom/features'
model = dict(
    neck=dict(model='work_dirs/mcsd/ddpm_lite_phantom/unet', cache_dir=features),
)
train_dataloader = dict(
    dataset=dict(
        head=[dict(type='LoadDiffusionFeatures', cache_dir=features), dict(type='TrackGeometry')]
    )
)
train_cfg = dict(max_iters=600, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
