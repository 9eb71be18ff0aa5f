# MCSD on M&Ms by patient: 10 labelled patients ("5 %" in the article).
_base_ = './mnms.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=10)))
