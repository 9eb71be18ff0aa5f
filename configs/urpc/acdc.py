# URPC on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/urpc.py',
    '../_base_/schedules/ssl4mis.py',
]
