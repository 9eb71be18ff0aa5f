# SASSNet on ACDC at 64 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/sass_net.py',
    '../_base_/schedules/sass_net_lite.py',
]
model = dict(discriminator=dict(widths=(32, 64, 128)))
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
