# SynFoC for short trainings with few labels of another hospital: the labelled images take the style
# of unlabelled ones, and the foundation teacher makes the masks of both networks.
_base_ = './lite_fundus_led.py'
model = dict(data_preprocessor=dict(batch_augments=[dict(type='UnlabelledStyle')]))
