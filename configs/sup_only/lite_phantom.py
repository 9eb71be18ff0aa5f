# The labels-only control of configs/synfoc/lite_phantom.py: same U-Net, labels and iterations.
_base_ = [
    '../_base_/datasets/phantom.py',
    '../_base_/models/sup_only.py',
    '../_base_/schedules/sup_only.py',
]
model = dict(
    students=dict(
        unet=dict(backbone=dict(base_channels=16), decode_head=dict(in_channels=16, channels=16))
    ),
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
param_scheduler = dict(_delete_=True)
optim_wrapper = dict(optimizers=dict(unet=dict(lr=0.01)))
train_cfg = dict(max_iters=400, val_interval=200)
val_cfg = dict(fp16=True)  # half precision, on a CPU where it has instructions for it
test_cfg = dict(fp16=True)
default_hooks = dict(
    checkpoint=dict(interval=50),
    logger=dict(interval=10),
)
