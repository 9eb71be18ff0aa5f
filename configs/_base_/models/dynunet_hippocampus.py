# A DynUNet as nnU-Net's planner sets it for the hippocampus (`mmssl plan`): voxels of 1 mm, a patch
# of 40 x 56 x 40, which is halved three times, 9 patches a step.
planned_patch = (40, 56, 40)
model = dict(
    type='SupOnly',
    students=dict(
        dynunet=dict(
            type='MonaiNetwork',
            network='DynUNet',
            kernel_size=(3, 3, 3, 3),
            strides=(1, 2, 2, 2),
            upsample_kernel_size=(2, 2, 2),
            filters=(32, 64, 128, 256),
            trans_bias=True,
            # the logits of half the size learn too, with half the weight
            deep_supervision=True,
            deep_supr_num=1,
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
