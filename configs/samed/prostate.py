# SAMed on the data of configs/synfoc/prostate.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 4 / 24)))  # 4 images in place of 24
published = 'samed'  # printed beside the results
