# FixMatch + FMix: regions of the labelled image in the strong view.
_base_ = './prostate_40.py'
model = dict(mixer=dict(type='FMix'))
published = None  # the published table is of FixMatch alone
