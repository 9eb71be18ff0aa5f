# DTC on ACDC at 64 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite_distances.py',
    '../_base_/models/dtc.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
