# The schedule of ssl4mis.py for the U-Net; the discriminator keeps its rate.
_base_ = './ssl4mis.py'
optim_wrapper = dict(optimizers=dict(discriminators=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))))
param_scheduler = dict(
    _delete_=True,
    unet=[dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end='max_iters', by_epoch=False)],
)
# student and discriminator take turns
find_unused_parameters = True
