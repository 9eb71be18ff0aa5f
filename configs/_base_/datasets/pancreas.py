# Pancreas-CT in the layout of MC-Net and BCP: 82 volumes, 62 to train and 20 to test.
_base_ = './volumes.py'
data_root = 'data/Pancreas'
patch_size = (96, 96, 96)
windows = dict(type='SlidingWindow', size=patch_size, stride=(16, 16, 16))
data = dict(type='Pancreas', data_root=data_root)
weak_view = [dict(type='RandomCrop', size=patch_size, pad=0, margin=3)]
train_dataloader = dict(
    dataset=dict(
        data,
        # 12 and 6 volumes are the 20 and 10 % of the papers
        labelled=dict(num=12, list='train.list'),
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    )
)
test_dataloader = dict(dataset=data)
# There is no validation part: the test volumes are looked at, no checkpoint is chosen by them.
val_dataloader = test_dataloader
val_dataloader['dataset'] = dict(data, mode='test')
