# UA-MT on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations.
_base_ = '../mean_teacher/lite_fundus.py'
model = dict(
    type='UAMT',
    students=dict(unet=dict(decode_head=dict(dropout_ratio=0.5))),  # the passes need some
)
