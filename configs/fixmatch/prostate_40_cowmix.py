# FixMatch + CowMix: regions of the labelled image in the strong view.
_base_ = './prostate_40.py'
model = dict(mixer=dict(type='CowMix'))
published = None  # the published table is of FixMatch alone
