# SAMed on the data of configs/synfoc/fundus.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 4 / 24)))  # 4 images in place of 24
train_cfg = dict(max_iters=30000)
published = 'samed'  # printed beside the results
