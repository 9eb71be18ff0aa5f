# The fair comparison, the same data for all methods: Drishti-GS labelled, REFUGE unlabelled, 64 px.
_base_ = './lite_fundus.py'
recipe = 'lite_fundus'  # methods' configs of this name bring their own networks and rates
image_size = 64
sizes = dict(image_size=image_size, box_size=image_size, score_size=image_size)
train_dataloader = dict(dataset=dict(sizes, labelled=dict(num=10, seed=0)))
test_dataloader = dict(batch_size=16, dataset=sizes)
val_dataloader = test_dataloader
train_cfg = dict(max_iters=400, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=80))
