# UniMatch V2 on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations.
_base_ = '../sup_only/lite_fundus.py'
model = dict(
    type='UniMatchV2',
    teachers=['unet'],
    threshold=dict(type='FixedThreshold', value=0.95, strict=False),
    unsup_criterion=dict(type='DiceCELoss', mask_background=True),
    weights=dict(sup=0.5, image=0.25),
)
train_dataloader = dict(
    batch_sampler=dict(num_unlabelled=2),
    dataset=dict(
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
custom_hooks = [dict(type='EMATeacherHook', momentum=0.996, buffers='ema', mode='eval')]
