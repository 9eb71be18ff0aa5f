# ABD over BCP on ACDC at 64 px, beside configs/bcp/lite_acdc.py.
_base_ = '../bcp/lite_acdc.py'
model = dict(
    type='ABDBCP',
    students=dict(unet2={{_base_.model.students.unet}}),
    primary='unet',
    grid=4,
    top=4,
    similar=0.5,  # else the surest patch
)
optim_wrapper = dict(
    optimizers=dict(unet2=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)),
)
find_unused_parameters = True  # the second network waits for the pre-training of the first
# Turned and flipped, rotated, or left as it is; the strong view has a hole, in its mask too, and
# other grey levels.
weak_view = [
    dict(type='RandomRotFlipRotate', rot_flip_prob=0.5, rotate_prob=0.5, degrees=20),
]
pipeline = [
    *weak_view,
    dict(
        type='StrongView',
        mask=True,
        transforms=[
            dict(type='RandomCutout', prob=0.5, area=(0.02, 0.4), ratio=(0.3, 1 / 0.3)),
            dict(type='ColorJitter', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
        ],
    ),
    dict(type='PackSemiInputs'),
]
train_dataloader = dict(dataset=dict(labelled_pipeline=pipeline, unlabelled_pipeline=pipeline))
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'unet2/DSC']))
