# ABD over cross teaching on ACDC with 3 labelled patients.
_base_ = './acdc_cross_teaching.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
