# M&Ms: cardiac MRI of 320 patients, a file for each volume or slice, split 7:2:1 by patient,
# with the classes of ACDC, scored by volume.
_base_ = './acdc.py'
data_root = 'data/mnms_volumes'
data = dict(type='MNMsVolumes', data_root=data_root)
# 5 and 10 patients are the "3 %" and "5 %" of MCSD; which ones is not published
labelled = dict(_delete_=True, cases=5, seed=0)
train_dataloader = dict(dataset=dict(data, labelled=labelled))
test_dataloader = dict(dataset=data)
val_dataloader = test_dataloader
