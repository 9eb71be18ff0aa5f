# Whole volumes of the phantom, 24 x 32 x 32 voxels, NIfTI:
# tools/dataset_converters/make_phantom.py data/phantom_mri --layout nifti
_base_ = './volumes.py'
data_root = 'data/phantom_mri'
patch_size = (16, 32, 32)
data = dict(
    type='MixedDomainDataset',
    data_root=data_root,
    sample='volume',
    domains=['ScannerA'],
    image_dir='{domain}/image',
    mask_dir='{domain}/mask',
    label_map={0: 0, 1: 1, 2: 2},
    split=dict(
        type='list',
        train='{domain}/train.list',
        val='{domain}/val.list',
        test='{domain}/test.list',
    ),
    metainfo=dict(
        dataset_name='phantom_mri',
        classes=('background', 'outer', 'inner'),
        parts=dict(outer=[1], inner=[2]),
    ),
    prepare=[dict(type='LoadVolume'), dict(type='LoadMask'), dict(type='NormaliseIntensity')],
)
weak_view = [
    dict(type='RandomFlip', axes=(2,)),  # left and right
    dict(type='RandomCrop', size=patch_size, pad='min'),
]
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data,
        labelled=dict(num=2, seed=None),
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    ),
)
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data, cache=True))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data, cache=True))
