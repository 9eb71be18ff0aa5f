# BCP on the V-Net: 2,000 of 17,000 iterations are pre-training, in which the mixed label counts as
# one; the Dice loss is that of each volume, with p and g, not their squares.
_base_ = './vnet.py'
model = dict(
    type='BCP',
    teachers=['vnet'],
    pretrain=2000 / 17000,
    patch=2 / 3,
    u_weight=0.5,
    largest_component=True,
    joint_pretrain=True,
    sup_loss=dict(eps=1e-5, mask_background=True, masked_mean=True, squared=False, per_image=True),
)
