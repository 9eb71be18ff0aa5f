# A DynUNet as nnU-Net's planner sets it for the Left Atrium as UA-MT spreads it (`mmssl plan`):
# cubic voxels, a median of 190 x 142 x 88, so a patch of 192 x 128 x 96, halved five times, along
# the last axis four times, and 2 patches a step.
_base_ = './dynunet.py'
planned_patch = (192, 128, 96)
model = dict(
    students=dict(
        dynunet=dict(
            kernel_size=(3, 3, 3, 3, 3, 3),
            strides=(1, 2, 2, 2, 2, (2, 2, 1)),
            upsample_kernel_size=(2, 2, 2, 2, (2, 2, 1)),
            filters=(32, 64, 128, 256, 320, 320),
            deep_supr_num=3,  # all resolutions learn but the lowest
        ),
    ),
    inferer=dict(size=planned_patch),
)
