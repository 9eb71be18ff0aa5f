# CrossMatch on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = '../unimatch/lite_hippocampus.py'
model = dict(
    type='CrossMatch',
    # as on ACDC; Left Atrium, of two classes, has a lower one
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    weights=dict(distil=0.5),
)
