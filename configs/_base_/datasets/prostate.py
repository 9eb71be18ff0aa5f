# Prostate: MRI slices of six sites, in the processed layout of MiDSS and SynFoC.
_base_ = './mixed_domain.py'
data_root = 'data/ProstateSlice'
image_size = 512
unet_size = image_size * 3 // 4
# scored at the size of the file, 384 px
data = dict(type='Prostate', data_root=data_root, image_size=image_size, box_size=unet_size)
train_dataloader = dict(dataset=dict(data, labelled=dict(domain='BIDMC', num=20)))
test_dataloader = dict(dataset=data)
val_dataloader = test_dataloader
