# UA-MT on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = '../mean_teacher/lite_hippocampus.py'
model = dict(
    type='UAMT',
    # three classes, where the published code of two has ln 2 and 2
    threshold=dict(type='UncertaintyThreshold', classes=3),
    consistency=dict(type='MSEConsistencyLoss', channels=None),
)
