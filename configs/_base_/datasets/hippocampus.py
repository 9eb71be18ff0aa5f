# Hippocampus: Task04 of the Medical Segmentation Decathlon, 200 small MRI of 1 mm; 8 of the 140
# training volumes have labels, 20 are for validation and 40 for testing, drawn by a seed.
_base_ = './volumes.py'
data_root = 'data/hippocampus'
patch_size = (32, 32, 32)
prepare = [dict(type='LoadVolume'), dict(type='LoadMask'), dict(type='NormaliseIntensity')]
data = dict(
    type='MSD',
    data_root=data_root,
    domains=['hippocampus'],
    label_map={0: 0, 1: 1, 2: 2},
    metainfo=dict(
        dataset_name='hippocampus',
        classes=('background', 'anterior', 'posterior'),
        parts=dict(anterior=[1], posterior=[2]),
    ),
    split=dict(type='case', val=0.1, test=0.2, seed=0),
    prepare=prepare,
)
weak_view = [
    dict(type='RandomFlip', axes=(2,)),  # left and right
    # many volumes are smaller than the patch along an axis and are padded
    dict(type='RandomCrop', size=patch_size, pad='min'),
]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data,
        labelled=dict(num=8, seed=0),
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    ),
)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=data)
# Voxels are cubes of 1 mm.
test_evaluator = dict(unit='mm')
val_evaluator = test_evaluator
