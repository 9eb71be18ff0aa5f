# ABD over BCP on ACDC with 3 labelled patients.
_base_ = './acdc_bcp.py'
train_dataloader = dict(dataset=dict(labelled=dict(cases=3)))
