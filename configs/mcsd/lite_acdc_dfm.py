# Ablation: the diffusion features alone (DFM), no strong views.
_base_ = './lite_acdc.py'
model = dict(image_level=False)
