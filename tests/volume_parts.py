"""A small student for volumes, for tests that need no network of the library."""

import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn

from mmssl.registry import MODELS

MONAI_NETWORKS = dict(
    DynUNet=dict(
        kernel_size=(3, 3, 3),
        strides=(1, 2, 2),
        upsample_kernel_size=(2, 2),
        filters=(4, 6, 8),
        deep_supervision=True,
        deep_supr_num=1,
    ),
    # its smallest map of a small volume is one voxel, of which InstanceNorm cannot be
    SwinUNETR=dict(
        feature_size=12,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
        norm_name=('group', dict(num_groups=2)),
    ),
    UNet=dict(channels=(4, 8), strides=(2,)),
)


def monai_network(name: str, classes: int = 3) -> dict:
    """Return the config of a small network of MONAI for volumes."""
    return dict(type='MonaiNetwork', network=name, num_classes=classes, **MONAI_NETWORKS[name])


@MODELS.register_module(force=True)
class TwoConvs(BaseModule):
    """Two 3x3x3 convolutions: what it says of a voxel depends on where the window ends."""

    with_auxiliary_head = False

    def __init__(self, num_classes: int = 2, channels: int = 1, width: int = 4) -> None:
        super().__init__()
        self.out_channels = num_classes
        self.net = nn.Sequential(
            nn.Conv3d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(width, num_classes, 3, padding=1),
        )

    def forward(self, x: torch.Tensor, mode: str = 'tensor') -> torch.Tensor:
        return 4 * self.net(x)


def volume_model(classes: int = 2, method: str = 'SemiSegmentor', **options) -> dict:
    """Return the config of a method on volumes that the pipeline has normalised."""
    return dict(
        type=method,
        students=dict(net=dict(type='TwoConvs', num_classes=classes)),
        parts=[[index] for index in range(1, classes)],
        data_preprocessor=dict(mean=0, std=1),
        **options,
    )


def volume_config(prepare=(), channels=1, students=None, **data) -> Config:
    """Return the config of a model of whole volumes with three classes, its windows overlapping."""
    model = volume_model(
        3, inferer=dict(type='SlidingWindow', size=(8, 10, 9), stride=(4, 5, 5), batch=3)
    )
    for name in students or ():
        model['students'][name] = dict(type='TwoConvs', num_classes=3)
    for student in model['students'].values():
        student['channels'] = channels
    return Config(
        dict(
            default_scope='mmssl',
            model={**model, 'type': 'MeanTeacher', 'teachers': [*model['students']]},
            test_dataloader=dict(
                dataset=dict(
                    type='MixedDomainDataset',
                    data_root='.',
                    domains=['here'],
                    mode='test',
                    sample='volume',
                    label_map={0: 0, 1: 1, 2: 2},
                    image_dir='image',
                    mask_dir='mask',
                    split=dict(type='fraction', test=0.5),
                    metainfo=dict(
                        classes=('background', 'outer', 'inner'),
                        parts=dict(outer=[1, 2], inner=[2]),
                    ),
                    prepare=[
                        dict(type='LoadVolume'),
                        *prepare,
                        dict(type='LoadMask'),
                        dict(type='NormaliseIntensity'),
                    ],
                    pipeline=[dict(type='PackTestInputs')],
                    **data,
                )
            ),
        )
    )
