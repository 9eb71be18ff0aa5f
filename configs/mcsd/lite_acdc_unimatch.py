# UniMatch, with the threshold of MCSD: what dropped channels alone bring to the strong views.
_base_ = '../unimatch/lite_acdc.py'
model = dict(threshold=dict(value=0.9))
