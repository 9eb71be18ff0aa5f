# CrossMatch on Left Atrium: 16 labelled volumes, 14,000 batches of 2 + 2 + 2 patches.
_base_ = [
    '../_base_/views/crossmatch_volumes.py',
    '../_base_/datasets/left_atrium.py',
    '../_base_/models/vnet_crossmatch.py',
    '../_base_/schedules/crossmatch_3d.py',
]
model = dict(inferer=dict(type='SlidingWindow', size=_base_.patch_size, stride=(18, 18, 4)))
# 2 unlabelled patches and the 2 that are mixed into them
train_dataloader = dict(
    batch_sampler=dict(num_labelled=2, num_unlabelled=4),
    dataset=dict(
        unlabelled_pipeline=[
            *_base_.weak_view,
            *_base_.two_strong_views,
            dict(type='PackSemiInputs'),
        ]
    ),
)
