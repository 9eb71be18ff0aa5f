# SAMed on the data of configs/synfoc/fundus.py: same labels, views and iterations.
_base_ = [
    '../_base_/datasets/fundus.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
sam_size = _base_.image_size
model = dict(
    students=dict(sam=dict(decode_head=dict(num_classes=3))),
    parts=[[1], [1, 2]],  # cup, disc
)
train_dataloader = dict(batch_sampler=dict(num_unlabelled=0))
optim_wrapper = dict(optimizers=dict(sam=dict(lr=0.005 * 4 / 24)))  # 4 images in place of 24
train_cfg = dict(max_iters=30000)
published = 'samed'  # printed beside the results
