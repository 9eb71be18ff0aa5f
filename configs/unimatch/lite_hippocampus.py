# UniMatch on 8 labelled hippocampus volumes, for a machine without a GPU.
_base_ = [
    '../_base_/views/hippocampus.py',
    '../_base_/datasets/hippocampus.py',
    '../_base_/models/vnet_hippocampus.py',
    '../_base_/schedules/hippocampus_lite.py',
]
model = dict(
    type='UniMatch',
    inferer=dict(type='SlidingWindow', size=_base_.patch_size, overlap=0.5),
)
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
