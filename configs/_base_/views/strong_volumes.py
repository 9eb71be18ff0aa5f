# The strong view of CrossMatch on volumes, after torchio's that its code takes: a bias field and
# another gamma in 8 of 10, a blur in 5 of 10.
strong_view = [
    dict(
        type='RandomApply',
        prob=0.8,
        transforms=[
            dict(type='Monai', transform='RandBiasFieldd', prob=1.0, coeff_range=[-0.5, 0.5]),
            # exp(-0.5) to exp(0.5), of magnitudes: the volumes have mean 0
            dict(type='RandomGamma', gamma=(0.6065, 1.6487), signed=True, keep_stats=False),
        ],
    ),
    dict(
        type='RandomApply',
        prob=0.5,
        transforms=[dict(type='GaussianBlur', sigma=(0.1, 2.0), kernel=1.0, each_axis=True)],
    ),
]
