# SynFoC for short trainings whose labelled images take the style of unlabelled ones.
_base_ = './lite_fundus_short.py'
model = dict(data_preprocessor=dict(batch_augments=[dict(type='UnlabelledStyle')]))
