# BCP on M&Ms: 5 labelled slices of one vendor, 60,000 iterations, a quarter of pre-training.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/bcp_mixed_domain.py',
    '../_base_/schedules/bcp_mixed_domain.py',
]
published = 'bcp'  # printed beside the results
