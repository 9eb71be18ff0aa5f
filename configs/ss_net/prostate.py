# SS-Net on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/ss_net_mixed_domain.py',
    '../_base_/schedules/ss_net_mixed_domain.py',
]
model = dict(
    # as large for a pixel as 10 and 6 at 256 px
    vat=dict(xi=_base_.unet_size * 10 / 256, eps=_base_.unet_size * 6 / 256),
)
published = 'ss_net'  # printed beside the results
