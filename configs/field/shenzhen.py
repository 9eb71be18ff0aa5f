# The fair field, chest X-rays: Shenzhen labelled and Montgomery unlabelled.
_base_ = './montgomery.py'
train_dataloader = dict(dataset=dict(labelled=dict(domain='Shenzhen')))
