# UA-MT on Fundus: 20 labelled images of one domain, 30,000 iterations.
_base_ = '../mean_teacher/fundus.py'
model = dict(
    type='UAMT',
    students=dict(unet=dict(decode_head=dict(dropout_ratio=0.5))),  # the passes need some
)
published = 'ua_mt'  # printed beside the results
