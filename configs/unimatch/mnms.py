# UniMatch on M&Ms by patient, the control of configs/mcsd/mnms.py: 5 labelled patients.
_base_ = [
    '../_base_/datasets/mnms_volumes.py',
    '../_base_/models/unimatch.py',
    '../_base_/schedules/ssl4mis.py',
]
train_cfg = dict(max_iters=44100)
