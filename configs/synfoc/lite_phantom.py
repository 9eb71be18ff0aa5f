# SynFoC on the phantom for a machine without a GPU: LiteMedSAM and a small U-Net at 64 px.
_base_ = [
    '../_base_/datasets/phantom.py',
    '../_base_/models/synfoc_lite.py',
    '../_base_/schedules/synfoc.py',
]
# A third of the paper's rate: half its batch, and a hundredth of its iterations.
optim_wrapper = dict(optimizers=dict(unet=dict(lr=0.01)))
train_cfg = dict(max_iters=400, val_interval=200)
val_cfg = dict(fp16=True)  # half precision, on a CPU where it has instructions for it
test_cfg = dict(fp16=True)
default_hooks = dict(
    checkpoint=dict(interval=50),
    logger=dict(interval=10),
)
