# SS-Net on ACDC at 64 px.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis_lite.py',
    '../_base_/models/ss_net.py',
    '../_base_/schedules/ss_net_lite.py',
]
# as large for a pixel as 10 and 6 at 256 px
model = dict(vat=dict(xi=_base_.image_size * 10 / 256, eps=_base_.image_size * 6 / 256))
