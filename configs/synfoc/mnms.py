# SynFoC on M&Ms: 5 labelled slices of one vendor, batch 2 + 2, 60,000 iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/synfoc.py',
    '../_base_/schedules/synfoc.py',
]
sam_size = _base_.image_size
model = dict(
    students=dict(
        sam=dict(decode_head=dict(num_classes=4)),
        unet=dict(decode_head=dict(num_classes=4)),
    ),
    parts=[[1], [2], [3]],  # left ventricle, myocardium, right ventricle
    data_preprocessor=dict(sizes=dict(unet=dict(image=_base_.unet_size, label=_base_.unet_size))),
)
published = 'synfoc'  # printed beside the results
