# CPS on ACDC at 64 px, beside configs/sup_only/lite_acdc.py.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/ssl4mis_two_unets.py',
    '../_base_/schedules/ssl4mis_two_lite.py',
]
