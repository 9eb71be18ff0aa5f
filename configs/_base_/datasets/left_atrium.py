# Left atrium: 100 LGE-MRI as UA-MT spreads them, 80 to train and 20 to test, cut around the label.
_base_ = './volumes.py'
data_root = 'data/LA'
patch_size = (112, 112, 80)
data = dict(type='LeftAtrium', data_root=data_root)
weak_view = [
    dict(type='RandomQuarterTurn', axes=(0, 1)),
    # UA-MT pads with the mean, 3 voxels further where the volume is not larger than the patch
    dict(type='RandomCrop', size=patch_size, pad=0, margin=3),
]
train_dataloader = dict(
    dataset=dict(
        data,
        # 16 and 8 volumes are the 20 and 10 % of the papers, 4 the 5 %
        labelled=dict(num=16, list='train.list'),
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    )
)
test_dataloader = dict(dataset=data)
# There is no validation part: the test volumes are looked at, no checkpoint is chosen by them.
val_dataloader = test_dataloader
val_dataloader['dataset'] = dict(data, mode='test')
