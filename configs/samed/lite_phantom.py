# SAMed on the phantom for a machine without a GPU: LiteMedSAM at 64 px.
_base_ = [
    '../_base_/datasets/phantom.py',
    '../_base_/models/samed_lite.py',
    '../_base_/schedules/samed.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 2 / 24)))  # 2 images in place of 24
param_scheduler = [dict(type='WarmupPolyLR', warmup=50, end='max_iters', power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=400, val_interval=200)
val_cfg = dict(fp16=True)  # half precision, on a CPU where it has instructions for it
test_cfg = dict(fp16=True)
default_hooks = dict(
    checkpoint=dict(interval=50),
    logger=dict(interval=10),
)
