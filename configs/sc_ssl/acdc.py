# A sketch of SC-SSL on ACDC; every setting is a guess, see the README.
_base_ = [
    '../_base_/datasets/acdc_ssl4mis.py',
    '../_base_/models/ssl4mis_two_unets.py',
    '../_base_/schedules/ssl4mis_two.py',
]
model = dict(type='SCSSL')
optim_wrapper = dict(
    optimizers=dict(
        corrector=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
        project=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    ),
)
