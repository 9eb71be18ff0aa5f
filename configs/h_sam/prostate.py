# H-SAM on the data of configs/synfoc/prostate.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/h_sam.py',
    '../_base_/schedules/h_sam.py',
]
model = dict(epochs=250)  # as on PROMISE12
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.0026 * 4 / 16)))  # 4 images in place of 16
published = 'h_sam'  # printed beside the results
