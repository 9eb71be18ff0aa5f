# FixMatch + FDA: labelled images in the style of unlabelled ones.
_base_ = './fundus.py'
model = dict(mixer=dict(type='FDA'))
published = None  # the published table is of FixMatch alone
