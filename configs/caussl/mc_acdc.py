# CauSSL on the mutual consistency of decoders, ACDC: 7 patients, batches of 12 + 12 slices.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/mc_caussl.py',
    '../_base_/schedules/ssl4mis.py',
]
