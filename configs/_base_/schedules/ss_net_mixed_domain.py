# SS-Net in the frame of SynFoC: its rate, kept constant.
_base_ = './sup_only.py'
optim_wrapper = dict(
    optimizers=dict(contrast=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4))
)
param_scheduler = dict(_delete_=True)
