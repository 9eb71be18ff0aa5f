# Labels only on the data of configs/synfoc/mnms.py: same U-Net, labels, views and iterations.
_base_ = [
    '../_base_/datasets/mnms.py',
    '../_base_/models/sup_only.py',
    '../_base_/schedules/sup_only.py',
]
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
published = 'sup_only'  # printed beside the results
