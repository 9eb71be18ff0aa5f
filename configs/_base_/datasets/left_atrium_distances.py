# left_atrium.py with the signed distances of its labels.
_base_ = './left_atrium.py'
train_dataloader = dict(
    dataset=dict(
        labelled_pipeline=[
            *_base_.weak_view,
            dict(type='SignedDistance'),
            dict(type='PackSemiInputs'),
        ]
    )
)
