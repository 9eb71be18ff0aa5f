"""The encoder of the small U-Net that most methods on ACDC train."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmssl.registry import MODELS


def conv_block(
    in_channels: int, out_channels: int, dropout: float, norm_cfg: dict | None = None
) -> nn.Sequential:
    """Return conv3x3-norm-LeakyReLU-dropout-conv3x3-norm-LeakyReLU, convolutions with bias."""
    norm_cfg = norm_cfg or dict(type='BN')
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        build_norm_layer(norm_cfg, out_channels)[1],
        nn.LeakyReLU(),
        nn.Dropout(dropout),
        nn.Conv2d(out_channels, out_channels, 3, padding=1),
        build_norm_layer(norm_cfg, out_channels)[1],
        nn.LeakyReLU(),
    )


@MODELS.register_module()
class UNetEncoder(BaseModule):
    """Encoder of the U-Net of SSL4MIS: a feature map of every level.

    With `UNetDecoderHead` it has 1,813,764 parameters from 1 channel to 4 classes, and 1,817,940
    from 30 channels. As the features are apart from the decoder, a method may perturb them.
    Weights start as PyTorch initialises them.

    Args:
        in_channels: channels of the image.
        widths: channels of each level; every level halves the size of the one before.
        dropout: dropout rate of each level.
        norm_cfg: the norm layers.

    Raises:
        ValueError: as many dropout rates as widths are needed.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        dropout: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.5),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(widths) != len(dropout):
            raise ValueError(
                f'UNetEncoder has {len(widths)} widths but {len(dropout)} dropout rates; give one '
                'rate for each level'
            )
        self.in_channels = in_channels
        channels = [in_channels, *widths]
        self.levels = nn.ModuleList(
            conv_block(channels[i], channels[i + 1], dropout[i], norm_cfg)
            for i in range(len(widths))
        )

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps, the i-th one (N, widths[i], H / 2^i, W / 2^i).

        Raises:
            ValueError: the image has another number of channels, or is too small.
        """
        self.check_size(x, self.in_channels)
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(F.max_pool2d(features[-1], 2) if features else x))
        return tuple(features)

    def check_size(self, x: Tensor, *channels: int) -> None:
        """Compare an image with the channels that are taken and with the smallest size.

        Raises:
            ValueError: it has another number of channels, or is too small.
        """
        smallest = 2 ** (len(self.levels) - 1)
        if x.shape[1] not in channels or min(x.shape[-2:]) < smallest:
            raise ValueError(
                f'{type(self).__name__} takes {" or ".join(map(str, channels))} channels of at '
                f'least {smallest} x {smallest} pixels, got {tuple(x.shape[1:])}'
            )
