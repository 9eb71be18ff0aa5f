# Whole volumes, of which patches are cut; a data base built on this one says which data set it is,
# its patch_size, and what is drawn.
train_dataloader = dict(
    batch_sampler=dict(type='SemiSampler', num_labelled=2, num_unlabelled=2),
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='semi_collate'),
    dataset=dict(
        # one copy in memory, which the workers share
        cache=True,
        prepare=[dict(type='LoadVolume'), dict(type='LoadMask')],
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        mode='test',
        # the mask at its own size, at which volumes are scored
        prepare=[dict(type='LoadVolume'), dict(type='LoadMask')],
        pipeline=[dict(type='PackTestInputs')],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_dataloader['dataset'], mode='val'),
)
# By volume, in voxels as in the papers; an empty prediction counts 0 in all four measures.
test_evaluator = dict(
    type='DomainMetric', per='volume', unit='pixel', empty='zero', selection='last'
)
val_evaluator = test_evaluator
