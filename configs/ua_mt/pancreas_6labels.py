# UA-MT on Pancreas-CT with 6 labelled volumes.
_base_ = './pancreas.py'
train_dataloader = dict(dataset=dict(labelled=dict(num=6)))
