# URPC on Left Atrium: the settings of its code on volumes in SSL4MIS on the V-Net, 16 labelled
# volumes, 60,000 batches of 2 + 2 patches at ten times the usual rate. How the published rows were
# trained is not said.
_base_ = [
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_urpc.py',
    '../_base_/schedules/ssl4mis_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
optim_wrapper = dict(optimizers=dict(vnet=dict(lr=0.1)))
train_cfg = dict(max_iters=60000)
