# CPS on ACDC as SSL4MIS trains it: 7 patients, 30,000 batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/ssl4mis_two_unets.py',
    '../_base_/schedules/ssl4mis_two.py',
]
