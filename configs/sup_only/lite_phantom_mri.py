# The labels alone on 2 whole volumes of the phantom, for a machine without a GPU.
_base_ = [
    '../_base_/datasets/phantom_mri.py',
    '../_base_/models/vnet_lite.py',
    '../_base_/schedules/hippocampus_lite.py',
]
# A patch is halved three times only, and normalised by itself: its smallest map has 32 voxels.
norm = dict(type='IN', affine=True)
widths = (8, 16, 32, 64)
model = dict(
    students=dict(
        vnet=dict(
            backbone=dict(widths=widths, convs=(1, 2, 3, 3), norm_cfg=norm),
            decode_head=dict(in_channels=widths, convs=(1, 2, 3), norm_cfg=norm),
        ),
    ),
    inferer=dict(type='SlidingWindow', size={{_base_.patch_size}}, overlap=0.5),
)
optim_wrapper = dict(optimizers=dict(vnet=dict(lr=0.002)))
train_dataloader = dict(batch_sampler=dict(num_labelled=4, num_unlabelled=0))
train_cfg = dict(max_iters=800, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
