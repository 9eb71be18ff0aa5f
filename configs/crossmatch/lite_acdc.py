# CrossMatch on ACDC at 64 px, beside configs/unimatch/lite_acdc.py.
_base_ = [
    '../_base_/datasets/acdc_lite.py',
    '../_base_/models/crossmatch.py',
    '../_base_/schedules/ssl4mis_lite.py',
]
optim_wrapper = dict(optimizers=dict(unet=dict(nesterov=True)))
