# The fair comparison on chest X-rays: Shenzhen labelled and Montgomery unlabelled.
_base_ = './lite_montgomery.py'
train_dataloader = dict(dataset=dict(labelled=dict(domain='Shenzhen')))
