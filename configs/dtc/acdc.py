# DTC on ACDC: 7 labelled patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_distances.py',
    '../_base_/models/dtc.py',
    '../_base_/schedules/ssl4mis.py',
]
