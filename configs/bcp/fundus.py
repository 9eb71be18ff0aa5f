# BCP on Fundus: 20 labelled images of one domain, 30,000 iterations, a quarter of pre-training.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/bcp_mixed_domain.py',
    '../_base_/schedules/bcp_mixed_domain.py',
]
model = dict(
    students=dict(unet=dict(backbone=dict(in_channels=3), decode_head=dict(num_classes=3))),
    parts=[[1], [1, 2]],  # cup, disc
    data_preprocessor=dict(sizes=dict(unet=dict(image=_base_.unet_size, label=_base_.unet_size))),
)
train_cfg = dict(max_iters=30000)
published = 'bcp'  # printed beside the results
