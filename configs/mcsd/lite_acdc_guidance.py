# Features that reach network A: its strong views follow what A and B agree on.
_base_ = './lite_acdc.py'
model = dict(guidance='agreement', label_features=True)
