# FixMatch + FDA: labelled images in the style of unlabelled ones.
_base_ = './prostate_40.py'
model = dict(mixer=dict(type='FDA'))
val_evaluator = dict(published=None)  # the published table is of FixMatch alone
test_evaluator = dict(published=None)
