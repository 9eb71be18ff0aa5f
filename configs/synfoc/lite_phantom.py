# SynFoC on the phantom for a machine without a GPU: LiteMedSAM and a small U-Net at 96 px.
_base_ = [
    '../_base_/datasets/phantom.py',
    '../_base_/models/synfoc_lite.py',
    '../_base_/schedules/synfoc.py',
]
train_cfg = dict(max_iters=300, val_interval=150)
val_cfg = dict(fp16=True)  # half precision, bfloat16 on a CPU
test_cfg = dict(fp16=True)
default_hooks = dict(
    checkpoint=dict(interval=50),
    logger=dict(interval=10),
    visualization=dict(test_interval=4),
)
