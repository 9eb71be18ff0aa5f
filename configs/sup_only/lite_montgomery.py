# The fair comparison on chest X-rays: Montgomery labelled, Shenzhen unlabelled. Sorted names go by
# diagnosis: every fourth (Shenzhen: every eighth) is kept for the test, healthy and ill alike.
_base_ = './lite_drishti.py'
data_root = 'data/lungs'
lungs = dict(
    type='MixedDomainDataset',
    data_root=data_root,
    domains=['Montgomery', 'Shenzhen'],
    split=dict(_delete_=True, type='slice', test=(3, None, 4)),
    overrides=dict(
        _delete_=True,
        Shenzhen=dict(split=dict(type='slice', test=(7, None, 8))),
    ),
    label_map={0: 0, 255: 1},
    metainfo=dict(
        _delete_=True,
        dataset_name='Lungs',
        classes=('background', 'lung'),
        parts=dict(lung=[1]),
        palette=[[0, 0, 0], [80, 160, 255]],
    ),
)
train_dataloader = dict(dataset=dict(lungs, labelled=dict(domain='Montgomery')))
test_dataloader = dict(dataset=lungs)
val_dataloader = test_dataloader
