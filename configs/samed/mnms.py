# SAMed on the data of configs/synfoc/mnms.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 2 / 24)))  # 2 images in place of 24
published = 'samed'  # printed beside the results
