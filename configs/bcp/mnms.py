# BCP on M&Ms: 5 labelled slices of one vendor, 60,000 iterations, a quarter of pre-training.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/bcp_mixed_domain.py',
    '../_base_/schedules/bcp_mixed_domain.py',
]
model = dict(
    students=dict(unet=dict(decode_head=dict(num_classes=4))),
    parts=[[1], [2], [3]],
    data_preprocessor=dict(sizes=dict(unet=dict(image=_base_.unet_size, label=_base_.unet_size))),
)
published = 'bcp'  # printed beside the results
