"""The U-Net of SynFoC: five levels, transposed convolutions, 31 million parameters."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmssl.registry import MODELS


def double_conv(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Sequential:
    """Return two 3 x 3 convolutions without bias, each followed by a norm and ReLU."""
    layers = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
            build_norm_layer(norm_cfg, out_channels)[1],
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UpBlock(nn.Module):
    """Double the resolution, join the skip connection, convolve twice."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
        self.conv = double_conv(in_channels, out_channels, norm_cfg)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return (N, out_channels, H, W) at the size of `skip`, zero-padded where it is odd."""
        x = self.up(x)
        dy, dx = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        if dy or dx:
            x = F.pad(x, (dx // 2, dx - dx // 2, dy // 2, dy - dy // 2))
        return self.conv(torch.cat([skip, x], dim=1))


@MODELS.register_module()
class UNet(BaseModule):
    """U-Net (Ronneberger et al., MICCAI 2015) in the form that SynFoC trains.

    With `base_channels=64` and a 1 x 1 `mmseg.FCNHead` it has 31,036,546 parameters from one
    channel to two classes. Weights start as PyTorch initialises them.

    Args:
        in_channels: channels of the image.
        base_channels: width of the first level; each level down doubles it.
        depth: levels below the first.
        norm_cfg: the norm layers, such as `dict(type='GN', num_groups=8)`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 64,
        depth: int = 4,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='BN')
        widths = [base_channels * 2**level for level in range(depth + 1)]
        self.stem = double_conv(in_channels, widths[0], norm_cfg)
        self.downs = nn.ModuleList(
            double_conv(widths[i], widths[i + 1], norm_cfg) for i in range(depth)
        )
        self.ups = nn.ModuleList(
            UpBlock(widths[i + 1], widths[i], norm_cfg) for i in reversed(range(depth))
        )
        self.out_channels = widths[0]

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the last feature map, (N, base_channels, H, W) at the image's size."""
        smallest = 2 ** len(self.downs)
        if min(x.shape[-2:]) < smallest:
            raise ValueError(
                f'UNet halves the image {len(self.downs)} times and needs at least {smallest} x '
                f'{smallest} pixels, got {x.shape[-2]} x {x.shape[-1]}'
            )
        return self.decode(self.encode(x))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the map of every level of the encoder, largest first."""
        maps = [self.stem(x)]
        for down in self.downs:
            maps.append(down(F.max_pool2d(maps[-1], 2)))
        return maps

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor]:
        """Return the last feature map of the decoder."""
        *skips, x = maps
        for up in self.ups:
            x = up(x, skips.pop())
        return (x,)
