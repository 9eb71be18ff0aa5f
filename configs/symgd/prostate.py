# SymGD on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = [
    '../_base_/datasets/prostate.py',
    '../_base_/models/symgd.py',
    '../_base_/schedules/symgd.py',
]
image_size = 384  # views are made at the size of the network
resize = dict(type='ResizeSquare', size=image_size, interpolation='lanczos')
train_dataloader = dict(
    batch_sampler=dict(num_labelled=4, num_unlabelled=4),
    dataset=dict(prepare=[dict(type='LoadImage'), dict(type='LoadMask'), resize]),
)
test_dataloader = dict(
    dataset=dict(
        prepare=[
            dict(type='LoadImage'),
            resize,
            dict(type='LoadMask'),
            dict(type='ResizeMaskTo', size=None),
        ]
    )
)
val_dataloader = test_dataloader
published = dict(method='symgd')  # printed beside the results
val_evaluator = dict(published=published)
test_evaluator = dict(published=published)
