# FixMatch + CutMix: regions of the labelled image in the strong view.
_base_ = './fundus.py'
model = dict(mixer=dict(type='CutMix'))
published = None  # the published table is of FixMatch alone
