# Volumes of a phantom in the layout of SSL4MIS's ACDC, at 64 px, scored by volume at their own
# size: tools/dataset_converters/make_phantom.py data/phantom_volumes --layout volumes
_base_ = './acdc_lite.py'
data_root = 'data/phantom_volumes'
data = dict(
    type='MixedDomainDataset',
    data_root=data_root,
    domains=['phantom'],
    image_dir=('data', 'data/slices'),
    mask_dir=('data', 'data/slices'),
    image_suffixes=('.h5',),
    mask_suffixes=('.h5',),
    value_range=(0, 1),
    label_map={0: 0, 1: 1, 2: 2},
    case_pattern=r'(?P<volume>(?P<case>patient\d+)_frame\d+)(_slice_(?P<slice>\d+))?',
    split=dict(type='list', train='train_slices.list', val='val.list', test='test.list'),
    metainfo=dict(
        dataset_name='phantom_volumes',
        classes=('background', 'outer', 'inner'),
        parts=dict(outer=[1], inner=[2]),
    ),
)
labelled = dict(_delete_=True, cases=2, list='train_slices.list')
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=8),
    dataset=dict(data, labelled=labelled),
)
test_dataloader = dict(dataset=data)
val_dataloader = test_dataloader
test_evaluator = dict(
    _delete_=True, type='DomainMetric', per='volume', empty='zero', selection='val'
)
val_evaluator = test_evaluator
