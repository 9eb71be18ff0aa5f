# The schedule of samed.py at CPC-SAM's rate, for 12 images a batch.
_base_ = './samed.py'
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.001)))
train_cfg = dict(max_iters=30000)
find_unused_parameters = True  # the points' embeddings, without points
