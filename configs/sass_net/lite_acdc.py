# SASSNet on ACDC at 64 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite_distances.py',
    '../_base_/models/sass_net.py',
    '../_base_/schedules/sass_net_lite.py',
]
model = dict(discriminator=dict(widths=(32, 64, 128)))
