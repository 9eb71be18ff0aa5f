# acdc_ssl4mis_lite.py with the signed distances of its labels.
_base_ = './acdc_ssl4mis_lite.py'
train_dataloader = dict(
    dataset=dict(
        labelled_pipeline=[
            *_base_.weak_view,
            # a slice may miss a part, which is then far from everywhere
            dict(type='SignedDistance', absent=1),
            dict(type='PackSemiInputs'),
        ]
    )
)
