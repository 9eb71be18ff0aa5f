# UniMatch on ACDC at 64 px, the control of configs/mcsd/lite_acdc.py.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/unimatch.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
