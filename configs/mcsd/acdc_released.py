# MCSD on ACDC as the released code has it, two networks that share nothing: 7 labelled patients
# (10 %), 300 epochs of 147 batches of 8 + 8 + 8 slices.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/mcsd.py',
]
published = 'mcsd'  # printed beside the results
