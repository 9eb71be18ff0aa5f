# UA-MT on BUSI: an eighth of the benign images labelled, 30,000 iterations.
_base_ = '../mean_teacher/busi.py'
model = dict(
    type='UAMT',
    students=dict(unet=dict(decode_head=dict(dropout_ratio=0.5))),  # the passes need some
)
published = 'ua_mt'  # printed beside the results
