# ABD over BCP on Prostate: 20 labelled slices of one site, 60,000 iterations.
_base_ = '../bcp/prostate.py'
model = dict(
    type='ABDBCP',
    students=dict(unet2={{_base_.model.students.unet}}),
    primary='unet',
)
train_dataloader = dict(
    dataset=dict(
        labelled_pipeline=[  # as it is, with a strong view beside the weak one
            dict(type='RandomApply', prob=1.0, transforms={{_base_.weak_view}}),
            dict(type='StrongView', transforms={{_base_.strong_view}}),
            dict(type='PackSemiInputs'),
        ],
    ),
)
optim_wrapper = dict(
    optimizers=dict(unet2=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4)),
)
find_unused_parameters = True  # the second network waits for the pre-training of the first
default_hooks = dict(checkpoint=dict(save_best=['unet/DSC', 'unet2/DSC']))
published = 'abd'  # printed beside the results
