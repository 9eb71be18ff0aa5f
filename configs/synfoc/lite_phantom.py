# SynFoC on the phantom for a machine without a GPU: LiteMedSAM and a small U-Net at 64 px.
_base_ = [
    '../_base_/datasets/phantom.py',
    '../_base_/models/synfoc_lite.py',
    '../_base_/schedules/synfoc.py',
]
# LiteMedSAM's rates are those of configs/samed/lite_phantom.py, which fit a short training: the
# paper's constant one is made for tens of thousands of iterations. The U-Net's is a third of the
# paper's: half its batch, and a hundredth of its iterations.
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 2 / 24), unet=dict(lr=0.01)))
param_scheduler = dict(
    sam=[dict(type='WarmupPolyLR', warmup=50, end='max_iters', power=0.9, by_epoch=False)]
)
train_cfg = dict(max_iters=400, val_interval=200)
val_cfg = dict(fp16=True)  # half precision, on a CPU where it has instructions for it
test_cfg = dict(fp16=True)
default_hooks = dict(
    checkpoint=dict(interval=50),
    logger=dict(interval=10),
)
