# UA-MT's schedule for the V-Net; the discriminator keeps its rate.
_base_ = './ua_mt_3d.py'
optim_wrapper = dict(optimizers=dict(discriminators=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))))
param_scheduler = dict(
    _delete_=True,
    vnet=[dict(type='StepLR', step_size=2500, gamma=0.1, by_epoch=False)],
)
# student and discriminator take turns
find_unused_parameters = True
