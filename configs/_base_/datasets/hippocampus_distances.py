# hippocampus.py with the signed distances of its labels.
_base_ = './hippocampus.py'
train_dataloader = dict(
    dataset=dict(
        labelled_pipeline=[
            *_base_.weak_view,
            # a patch may miss one of the two parts, which is then far from everywhere
            dict(type='SignedDistance', absent=1),
            dict(type='PackSemiInputs'),
        ]
    )
)
