# MCSD on ACDC: 7 labelled patients (10 %), 300 epochs of 147 batches of 8 + 8 + 8 slices.
# The diffusion model comes from configs/mcsd/ddpm_acdc.py.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/mcsd.py',
]
published = 'mcsd'  # printed beside the results
