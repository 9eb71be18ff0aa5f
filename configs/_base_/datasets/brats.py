# BraTS 2019 as SSL4MIS spreads it: FLAIR MRI, cut to the brain and normalised; whole tumour.
_base_ = './volumes.py'
data_root = 'data/BraTS2019'
patch_size = (96, 96, 96)
windows = dict(type='SlidingWindow', size=patch_size, stride=(64, 64, 64))
data = dict(type='BraTS', data_root=data_root)
weak_view = [
    dict(type='RandomQuarterTurn', axes=(0, 1)),
    dict(type='RandomCrop', size=patch_size, pad=0, margin=3),
]
train_dataloader = dict(
    dataset=dict(
        data,
        # 25 and 50 volumes are the 10 and 20 % of the papers
        labelled=dict(num=25, list='train.txt'),
        labelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
        unlabelled_pipeline=[*weak_view, dict(type='PackSemiInputs')],
    )
)
test_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
