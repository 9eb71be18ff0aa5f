# BUSI: breast ultrasound, benign and malignant lesions, in the layout of MiDSS and SynFoC.
_base_ = './mixed_domain.py'
data_root = 'data/Dataset_BUSI_with_GT'
image_size = 512
unet_size = image_size // 2
data = dict(
    type='BUSI',
    data_root=data_root,
    image_size=image_size,
    box_size=unet_size,
    score_size=unet_size,
)
train_dataloader = dict(dataset=dict(data, labelled=dict(domain='benign', ratio=1 / 8)))
test_dataloader = dict(dataset=data)
val_dataloader = test_dataloader
