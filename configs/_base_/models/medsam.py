# MedSAM as published, ViT-B at 1024 px, prompted by boxes of the truth; to be tested alone.
_base_ = '../default_runtime.py'
model = dict(
    type='ZeroShotSAM',
    sam=dict(type='PromptedSAM', arch='vit_b', img_size=1024, checkpoint='medsam_vit_b'),
    prompt='box',
    margin=0,
    num_points=1,
    largest_component=False,
)
test_cfg = dict(type='TestLoop')
# The model resizes; slices of volumes keep their masks as they are.
as_stored = [dict(type='LoadImage'), dict(type='LoadMask'), dict(type='ResizeMaskTo')]
