# BCP on Pancreas-CT: 12 labelled volumes, 4 + 4 patches of 96 x 96 x 96, 60 epochs of 30 batches of
# pre-training and 200 of 25 of self-training, Adam at one rate, a V-Net with InstanceNorm and
# without dropout. The released code picks the checkpoints of both on the test volumes.
_base_ = [
    '../_base_/datasets/pancreas.py',
    '../_base_/models/vnet_bcp.py',
    '../_base_/schedules/bcp_3d.py',
]
norm = dict(type='IN', affine=False)
model = dict(
    pretrain=1800 / 6800,
    students=dict(
        vnet=dict(
            backbone=dict(norm_cfg=norm, dropout=0),
            decode_head=dict(norm_cfg=norm, dropout=0),
        ),
    ),
    inferer=dict(_base_.windows, stride=(16, 16, 4)),
)
optim_wrapper = dict(optimizers=dict(vnet=dict(_delete_=True, type='Adam', lr=0.001)))
param_scheduler = []
train_cfg = dict(max_iters=6800, val_interval=1800)
custom_hooks = [
    dict(type='EMATeacherHook', momentum=0.99, warm_up=False, buffers='keep', mode='train'),
    dict(type='PretrainHook'),
]
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(
        labelled_pipeline=[
            dict(type='RandomCrop', size=_base_.patch_size, pad=0, margin=1),
            dict(type='PackSemiInputs'),
        ],
        # unlabelled volumes are never cut elsewhere than in their middle
        unlabelled_pipeline=[
            dict(type='Monai', transform='ResizeWithPadOrCropd', spatial_size=_base_.patch_size),
            dict(type='PackSemiInputs'),
        ],
    ),
)
