# UA-MT on M&Ms: 5 labelled slices of one vendor, 60,000 iterations.
_base_ = '../mean_teacher/mnms.py'
model = dict(
    type='UAMT',
    students=dict(unet=dict(decode_head=dict(dropout_ratio=0.5))),  # the passes need some
)
published = 'ua_mt'  # printed beside the results
