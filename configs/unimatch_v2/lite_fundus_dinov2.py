# UniMatch V2 with DINOv2-S on the photographs of configs/sup_only/lite_fundus.py, at 98 px (7 x 7
# patches) and scored at 96 px as there.
_base_ = [
    '../_base_/datasets/fundus_flat.py',
    '../_base_/models/unimatch_v2_dinov2.py',
    '../_base_/schedules/dinov2.py',
]
size = dict(image_size=98, box_size=98)
train_dataloader = dict(
    dataset=dict(
        size,
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='StrongView', transforms=_base_.strong_view),
            dict(type='StrongView', transforms=_base_.strong_view, key='img_strong2'),
            dict(type='RandomPasteBox', prob=0.5),
            dict(type='RandomPasteBox', prob=0.5, key='box2'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
test_dataloader = dict(dataset=size)
val_dataloader = dict(dataset=size)
train_cfg = dict(max_iters=2000, val_interval=250)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
