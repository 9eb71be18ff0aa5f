# UA-MT on ACDC as in SSL4MIS: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = '../mean_teacher/acdc.py'
model = dict(
    type='UAMT',
    start=0,
    # two classes, as in the published code: 4 and None are what was meant
    threshold=dict(type='UncertaintyThreshold', classes=2),
    consistency=dict(type='MSEConsistencyLoss', channels=2),
)
