# AdamW with 250 iterations of warm-up and polynomial decay, as H-SAM trains 16 images a batch.
_base_ = './samed.py'
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.0025)))
