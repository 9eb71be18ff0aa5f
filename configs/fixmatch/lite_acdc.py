# FixMatch of SSL4MIS on ACDC at 64 px, for a machine without a GPU.
_base_ = [
    '../_base_/views/fixmatch_ssl4mis.py',
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/ssl4mis_unet.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
model = dict(
    type='FixMatchSSL4MIS',
    sup_loss=dict(ce_weight=1.0, dice_weight=1.0),
    # (p - min p) / max p of the most probable class
    threshold=dict(type='FixedThreshold', value=0.8),
    negative=dict(type='NegativeLearningLoss'),
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
pipeline = _base_.fixmatch_pipeline
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
