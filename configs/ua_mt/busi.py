# UA-MT on BUSI: an eighth of the benign images labelled, 30,000 iterations.
_base_ = '../mean_teacher/busi.py'
model = dict(
    type='UAMT',
    students=dict(unet=dict(decode_head=dict(dropout_ratio=0.5))),  # the passes need some
)
published = dict(_delete_=True, method='ua_mt')  # printed beside the results
val_evaluator = dict(published=published)
test_evaluator = dict(published=published)
