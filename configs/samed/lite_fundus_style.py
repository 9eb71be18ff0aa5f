# SAMed whose labelled images take the style of unlabelled ones, which is all it sees of them.
_base_ = './lite_fundus.py'
model = dict(data_preprocessor=dict(batch_augments=[dict(type='UnlabelledStyle')]))
train_dataloader = dict(batch_sampler=dict(num_unlabelled=2))
