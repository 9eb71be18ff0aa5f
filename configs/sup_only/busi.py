# Labels only on the data of configs/synfoc/busi.py: same U-Net, labels, views and iterations.
_base_ = [
    '../_base_/datasets/busi.py',
    '../_base_/models/sup_only.py',
    '../_base_/schedules/sup_only.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
train_cfg = dict(max_iters=30000)
published = 'sup_only'  # printed beside the results
