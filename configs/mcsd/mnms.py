# MCSD on M&Ms by patient: 5 labelled patients ("3 %" in the article).
# The diffusion model comes from configs/mcsd/ddpm_mnms.py.
_base_ = [
    '../_base_/datasets/mnms_volumes.py',
    '../_base_/models/mcsd.py',
    '../_base_/schedules/mcsd.py',
]
model = dict(neck=dict(model='work_dirs/mcsd/ddpm_mnms/unet'))
