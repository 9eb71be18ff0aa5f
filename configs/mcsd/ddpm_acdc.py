# The diffusion model of MCSD on the 1,312 training slices of ACDC, without their masks.
# It is saved to work_dirs/mcsd/ddpm_acdc/unet, where configs/mcsd/acdc.py looks for it.
_base_ = [
    '../_base_/datasets/acdc.py',
    '../_base_/models/ddpm.py',
    '../_base_/schedules/ddpm.py',
]
model = dict(unet=dict(image_size=_base_.image_size))
train_dataloader = dict(
    batch_sampler=dict(num_labelled=0, num_unlabelled=8),
    dataset=dict(
        labelled=dict(_delete_=True, num=0),
        labelled_pipeline=None,
        unlabelled_pipeline=None,
        pipeline=[dict(type='RandomHorizontalFlip'), dict(type='PackSemiInputs')],
    ),
)
# Nothing is segmented.
val_dataloader = val_evaluator = test_dataloader = test_evaluator = None
