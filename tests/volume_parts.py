"""A small student for volumes, for tests that need no network of the library."""

import torch
from mmengine.model import BaseModule
from torch import nn

from mmssl.registry import MODELS


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
