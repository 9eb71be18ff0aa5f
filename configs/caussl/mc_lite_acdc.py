# CauSSL on the mutual consistency of decoders, ACDC at 64 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/mc_caussl.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
