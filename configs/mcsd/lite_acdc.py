# MCSD on ACDC at 64 px for a machine without a GPU: 7 labelled patients. The diffusion model comes
# from configs/mcsd/ddpm_lite_acdc.py, its features from tools/extract_diffusion_features.py.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/mcsd_lite.py',
]
features = 'work_dirs/mcsd/ddpm_lite_acdc/features'
model = dict(neck=dict(model='work_dirs/mcsd/ddpm_lite_acdc/unet', cache_dir=features))
train_dataloader = dict(
    dataset=dict(
        head=[dict(type='LoadDiffusionFeatures', cache_dir=features), dict(type='TrackGeometry')]
    )
)
