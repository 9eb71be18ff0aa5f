# SynFoC on M&Ms: 5 labelled slices of one vendor, batch 2 + 2, 60,000 iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
published = 'synfoc'  # printed beside the results
