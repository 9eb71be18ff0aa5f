# SynFoC for short trainings in which the U-Net stays behind: the foundation teacher makes the
# masks of both networks, and the more confident half of the pixels of each class teaches.
_base_ = './lite_fundus_balanced.py'
model = dict(ensemble=dict(type='ConstantRatio', value=0.0))
