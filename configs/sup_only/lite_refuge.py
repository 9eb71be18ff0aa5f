# The fair comparison the other way round: REFUGE labelled, Drishti-GS unlabelled.
_base_ = './lite_drishti.py'
train_dataloader = dict(dataset=dict(labelled=dict(domain='Domain3_REFUGEtrain')))
