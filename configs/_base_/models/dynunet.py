# What nnU-Net's trainer has for every DynUNet: coarse logits that learn with less weight, its loss,
# and windows that overlap by half, mirrored. A base on this one says what its planner said.
model = dict(
    type='SupOnly',
    students=dict(
        dynunet=dict(
            type='MonaiNetwork', network='DynUNet', trans_bias=True, deep_supervision=True
        ),
    ),
    # of the foreground, with plain sums, for each patch by itself
    sup_loss=dict(type='DiceCELoss', background=False, squared=False, per_image=True, eps=1e-5),
    data_preprocessor=dict(mean=0, std=1),
    inferer=dict(type='SlidingWindow', overlap=0.5, weights='gaussian', mirror=(0, 1, 2)),
)
