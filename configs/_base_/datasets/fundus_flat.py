# Two fundus domains as flat folders <domain>/{image,mask}, at 96 px: Drishti-GS with its own
# lists, and REFUGE, of which every fourth of the sorted names is kept for the test.
_base_ = './fundus.py'
data_root = 'data/fundus'
image_size = 96
domains = ['Domain1_DrishtiGS', 'Domain3_REFUGEtrain']
layout = dict(
    image_dir='{domain}/image',
    mask_dir='{domain}/mask',
    split=dict(type='list', train='{domain}/train.txt', test='{domain}/test.txt'),
    overrides=dict(
        Domain3_REFUGEtrain=dict(split=dict(type='slice', test=(3, None, 4))),
    ),
    metainfo=dict(
        published_counts=dict(),
    ),
)
flat = dict(
    data_root=data_root,
    image_size=image_size,
    box_size=image_size,
    score_size=image_size,
    domains=domains,
    **layout,
)
train_dataloader = dict(
    batch_sampler=dict(num_labelled=2, num_unlabelled=2),
    num_workers=0,
    dataset=dict(flat, labelled=dict(domain='Domain1_DrishtiGS', num=20)),
)
test_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(flat, cache=True))
# Scored while training, and at the end; no checkpoint is chosen by it.
val_dataloader = test_dataloader
val_evaluator = dict(selection='last')
