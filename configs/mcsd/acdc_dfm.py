# Ablation: the diffusion features alone (DFM), no strong views.
_base_ = './acdc.py'
model = dict(image_level=False)
published = None  # the published number is of the whole method
