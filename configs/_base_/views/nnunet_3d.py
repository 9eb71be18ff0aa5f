# The augmentation of nnU-Net v2 (nnUNetTrainer.get_training_transforms, MIC-DKFZ/nnUNet 017de4a) on
# a patch, in its order, for a strong base on volumes. A pipeline puts it between the crop
# (`RandomCrop` with foreground=0.33) and the packing. What differs: a patch is turned and zoomed as
# it was cut, with zeros around it, where nnU-Net cuts a larger one first; blur and low resolution
# are drawn for all channels at once, so their probabilities (0.2 and 0.25) are halved, as each
# channel takes part with 0.5 there.
degrees_30 = (-0.5236, 0.5236)
nnunet_view = [
    dict(
        type='Monai',
        transform='RandAffined',
        prob=0.2,
        rotate_range=(degrees_30, degrees_30, degrees_30),
        padding_mode='zeros',
    ),
    # one factor for all axes
    dict(
        type='Monai',
        transform='RandZoomd',
        prob=0.2,
        min_zoom=0.7,
        max_zoom=1.4,
        padding_mode='constant',
    ),
    dict(type='Monai', transform='RandGaussianNoised', prob=0.1, std=0.1),
    dict(
        type='Monai',
        transform='RandGaussianSmoothd',
        prob=0.1,
        sigma_x=(0.5, 1.0),
        sigma_y=(0.5, 1.0),
        sigma_z=(0.5, 1.0),
    ),
    dict(type='Monai', transform='RandScaleIntensityd', prob=0.15, factors=0.25, channel_wise=True),
    dict(
        type='Monai',
        transform='RandScaleIntensityFixedMeand',
        prob=0.15,
        factors=0.25,
        preserve_range=True,
        channel_wise=True,
    ),
    dict(type='Monai', transform='RandSimulateLowResolutiond', prob=0.125, zoom_range=(0.5, 1.0)),
    dict(type='RandomGamma', gamma=(0.7, 1.5), prob=0.1, invert=1.0),
    dict(type='RandomGamma', gamma=(0.7, 1.5), prob=0.3),
    dict(type='RandomFlip', axes=(0, 1, 2)),
]
