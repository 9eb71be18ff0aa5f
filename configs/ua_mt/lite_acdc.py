# UA-MT on ACDC at 64 px, for a machine without a GPU.
_base_ = '../mean_teacher/lite_acdc.py'
model = dict(type='UAMT', start=0)
