# H-SAM on ACDC: 7 patients, with the batch, rate and length that it has on 10 % of Synapse.
_base_ = [
    '../_base_/datasets/acdc_sam.py',
    '../_base_/models/h_sam.py',
    '../_base_/schedules/h_sam.py',
]
model = dict(
    data_preprocessor=dict(sizes=dict(sam=dict(image=_base_.sam_size, label=_base_.sam_size)))
)
train_dataloader = dict(batch_sampler=dict(num_labelled=16, num_unlabelled=0))
train_cfg = dict(max_iters=4200)  # 300 epochs of 14 batches
