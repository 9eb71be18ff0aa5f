# SAMed on ACDC: 7 patients, with the batch, rate, length and views that it has on Synapse.
_base_ = [
    '../_base_/datasets/acdc_sam.py',
    '../_base_/models/samed.py',
    '../_base_/schedules/samed.py',
]
model = dict(
    data_preprocessor=dict(sizes=dict(sam=dict(image=_base_.sam_size, label=_base_.sam_size // 4)))
)
train_dataloader = dict(batch_sampler=dict(num_labelled=24, num_unlabelled=0))
# 200 epochs of 93 batches, of which 160 are trained
param_scheduler = [dict(type='WarmupPolyLR', warmup=250, end=18600, power=0.9, by_epoch=False)]
train_cfg = dict(max_iters=14880)
