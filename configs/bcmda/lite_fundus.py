# BCMDA on the data of configs/sup_only/lite_fundus.py: same U-Net, labels and iterations. Classes
# are exclusive as there, the other settings those of Fundus; no domain of an unlabelled image is
# asked for.
_base_ = '../sup_only/lite_fundus.py'
model = dict(
    type='BCMDA',
    students=dict(unet=dict(decode_head=dict(type='PrototypeHead', temperature=0.05))),
    teachers=['unet'],
    ratio=0.75,
    beta=0.7,
    centre=127.5,
    keep_black=True,
    data_preprocessor=dict(mean=127.5, std=127.5),
)
train_dataloader = dict(
    batch_sampler=dict(num_unlabelled=2),
    dataset=dict(
        unlabelled_pipeline=[
            *_base_.weak_view,
            dict(type='StrongView', transforms=_base_.strong_view),
            dict(type='RandomPasteBox'),
            dict(type='RandomPasteBox', key='box2'),
            dict(type='PackSemiInputs'),
        ],
    ),
)
custom_hooks = [dict(type='EMATeacherHook', momentum=0.99, buffers='keep', mode='train')]
