# SynFoC on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
sam_size = _base_.image_size
model = dict(
    data_preprocessor=dict(sizes=dict(unet=dict(image=_base_.unet_size, label=_base_.unet_size))),
)
published = 'synfoc'  # printed beside the results
