# A DynUNet as nnU-Net's planner sets it for the hippocampus (`mmssl plan`): voxels of 1 mm, a patch
# of 40 x 56 x 40, which is halved three times, 9 patches a step.
_base_ = './dynunet.py'
planned_patch = (40, 56, 40)
model = dict(
    students=dict(
        dynunet=dict(
            kernel_size=(3, 3, 3, 3),
            strides=(1, 2, 2, 2),
            upsample_kernel_size=(2, 2, 2),
            filters=(32, 64, 128, 256),
            deep_supr_num=1,  # the logits of half the size learn too, with half the weight
        ),
    ),
    inferer=dict(size=planned_patch),
)
