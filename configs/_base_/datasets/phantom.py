# The multi-scanner phantom of tools/dataset_converters/make_phantom.py, at 64 px.
_base_ = './mixed_domain.py'
data_root = 'data/phantom'
image_size = 64
domains = ['ScannerA', 'ScannerB', 'ScannerC', 'ScannerD']
label_map = {0: 0, 255: 1}
metainfo = dict(dataset_name='phantom', classes=('background', 'organ'), parts=dict(organ=[1]))
data = dict(
    type='MixedDomainDataset',
    data_root=data_root,
    image_size=image_size,
    score_size=image_size,
    domains=domains,
    label_map=label_map,
    case_pattern=r'(?P<case>\d+)_(?P<slice>\d+)',
    metainfo=metainfo,
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=2, num_unlabelled=2),
    num_workers=0,
    dataset=dict(data, labelled=dict(domain='ScannerA', num=12)),
)
test_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(data, cache=True))
# Scored while training, and at the end; no checkpoint is chosen by it.
val_dataloader = test_dataloader
val_evaluator = dict(selection='last')
