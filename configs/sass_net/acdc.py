# SASSNet on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/sass_net.py',
    '../_base_/schedules/sass_net.py',
]
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
