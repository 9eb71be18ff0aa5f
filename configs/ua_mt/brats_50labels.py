# UA-MT on BraTS 2019 with 50 labelled volumes.
_base_ = './brats.py'
train_dataloader = dict(dataset=dict(labelled=dict(num=50)))
