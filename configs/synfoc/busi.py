# SynFoC on BUSI: an eighth of the images labelled, 64 of one class, 30,000 iterations.
_base_ = [
    '../_base_/datasets/busi.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
sam_size = _base_.image_size
model = dict(
    data_preprocessor=dict(sizes=dict(unet=dict(image=_base_.unet_size, label=_base_.unet_size)))
)
train_cfg = dict(max_iters=30000)
published = 'synfoc'  # printed beside the results
