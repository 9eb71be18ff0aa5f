# CPS on M&Ms with the U-Net, labels, views and iterations of configs/sup_only/mnms.py.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/two_unets.py',
    '../_base_/schedules/sup_only_two.py',
]
student = dict(decode_head=dict(num_classes=4))
size = dict(image=_base_.unet_size, label=_base_.unet_size)
model = dict(
    students=dict(unet=student, unet2=student),
    data_preprocessor=dict(sizes=dict(unet=size, unet2=size)),
)
