# SynFoC on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
published = 'synfoc'  # printed beside the results
