# BCP on ACDC: 7 labelled patients, 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_two_stream.py',
    '../_base_/models/bcp.py',
    '../_base_/schedules/bcp.py',
]
