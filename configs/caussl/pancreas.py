# CauSSL on cross pseudo supervision, Pancreas-CT: 12 labelled volumes, 5,000 batches of 2 + 2
# patches of 96 x 96 x 96.
_base_ = [
    '../_base_/datasets/pancreas.py',
    '../_base_/models/vnets_caussl.py',
    '../_base_/schedules/caussl_3d.py',
]
model = dict(inferer=_base_.windows)
