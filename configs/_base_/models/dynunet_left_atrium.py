# A DynUNet as nnU-Net's planner sets it for the Left Atrium as UA-MT spreads it (`mmssl plan`):
# cubic voxels, a median of 190 x 142 x 88, so a patch of 192 x 128 x 96, halved five times, along
# the last axis four times, and 2 patches a step.
planned_patch = (192, 128, 96)
model = dict(
    type='SupOnly',
    students=dict(
        dynunet=dict(
            type='MonaiNetwork',
            network='DynUNet',
            kernel_size=(3, 3, 3, 3, 3, 3),
            strides=(1, 2, 2, 2, 2, (2, 2, 1)),
            upsample_kernel_size=(2, 2, 2, 2, (2, 2, 1)),
            filters=(32, 64, 128, 256, 320, 320),
            trans_bias=True,
            # all resolutions learn but the lowest
            deep_supervision=True,
            deep_supr_num=3,
        ),
    ),
    # of the foreground, with plain sums, for each patch by itself
    sup_loss=dict(type='DiceCELoss', background=False, squared=False, per_image=True, eps=1e-5),
    data_preprocessor=dict(mean=0, std=1),
    inferer=dict(
        type='SlidingWindow',
        size=planned_patch,
        overlap=0.5,
        weights='gaussian',
        mirror=(0, 1, 2),
    ),
)
