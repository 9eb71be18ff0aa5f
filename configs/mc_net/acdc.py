# MC-Net on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_two_stream.py',
    '../_base_/models/mc_net.py',
    '../_base_/schedules/ssl4mis_constant.py',
]
