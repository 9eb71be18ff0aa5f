# SC-SAM on the slices of configs/synfoc/prostate.py, four of whose six sites are PROMISE12: 20
# labelled slices of BIDMC, 40,000 batches of 6 + 6 slices at 256 px.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/views/know_sam.py',
    '../_base_/models/sc_sam.py',
    '../_base_/schedules/sc_sam.py',
]
size = dict(image_size=256, box_size=256)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=6, num_unlabelled=6),
    dataset=dict(
        size,
        labelled_pipeline={{_base_.labelled_pipeline}},
        unlabelled_pipeline={{_base_.unlabelled_pipeline}},
    ),
)
test_dataloader = dict(dataset=size)
val_dataloader = test_dataloader
