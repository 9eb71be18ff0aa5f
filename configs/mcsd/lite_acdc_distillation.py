# Features that reach network A: a level of its decoder is drawn to their principal components.
_base_ = './lite_acdc.py'
model = dict(
    students=dict(feature_unet=None),
    neck=dict(projection='pca'),  # no network B would teach a learned one
    distillation=dict(
        type='FeatureDistillation', layer='decode_head.convs.2', loss='cosine', weight=0.1
    ),
)
optim_wrapper = dict(
    optimizers=dict(
        feature_unet=None,
        neck=None,
        distillation=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    )
)
