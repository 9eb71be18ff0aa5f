# MCSD: one schedule for both networks and the projection; 300 epochs of 147 batches.
_base_ = './ssl4mis.py'
optim_wrapper = dict(
    optimizers=dict(
        feature_unet=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
        neck=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    ),
)
custom_hooks = [dict(type='FitProjectionHook')]  # for projection='pca' (and no optimiser `neck`)
train_cfg = dict(max_iters=44100)
