# FixMatch + FDA: labelled images in the style of unlabelled ones.
_base_ = './prostate_40.py'
model = dict(mixer=dict(type='FDA'))
published = None  # the published table is of FixMatch alone
