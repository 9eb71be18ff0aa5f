# FixMatch on Prostate with 40 labelled slices, as in the supplement of MiDSS.
_base_ = './prostate.py'
train_dataloader = dict(dataset=dict(labelled=dict(num=40)))
