# FixMatch of SSL4MIS on ACDC at 64 px, for a machine without a GPU.
_base_ = [
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
weak_view = [dict(type='RandomRotFlipRotate', rot_flip_prob=1.0)]
strong_view = [dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)]
pipeline = [
    *weak_view,
    dict(type='StrongView', transforms=strong_view),
    dict(type='PackSemiInputs'),
]
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
