# The fair field, REFUGE labelled and Drishti-GS unlabelled.
_base_ = './drishti.py'
train_dataloader = dict(dataset=dict(labelled=dict(domain='Domain3_REFUGEtrain')))
