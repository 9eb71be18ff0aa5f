# SS-Net on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/ss_net_mixed_domain.py',
    '../_base_/schedules/ss_net_mixed_domain.py',
]
model = dict(vat=dict(xi=15.0, eps=9.0))  # as large for a pixel as 10 and 6 at 256 px
published = dict(method='ss_net')  # printed beside the results
val_evaluator = dict(published=published)
test_evaluator = dict(published=published)
