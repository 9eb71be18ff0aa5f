# The schedule of know_sam.py for a U-Net and SAM, 40,000 iterations.
_base_ = './know_sam.py'
optim_wrapper = dict(optimizers=dict(vnet=None, fusion=None))
train_cfg = dict(max_iters=40000)
default_hooks = dict(checkpoint=dict(save_best=['sam/DSC', 'unet/DSC']))
# embeddings of points that a batch need not have
find_unused_parameters = True
