# UA-MT on Left Atrium as published: 16 labelled volumes, 6,000 batches of 2 + 2 patches, 8 passes.
_base_ = '../mean_teacher/left_atrium.py'
model = dict(type='UAMT', samples=8, repeat=2)
