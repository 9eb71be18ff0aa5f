"""What the networks for volumes are built of."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

FOR_VOLUMES = {'BN': 'BN3d', 'BN1d': 'BN3d', 'BN2d': 'BN3d', 'IN': 'IN3d', 'IN2d': 'IN3d'}
UPSAMPLE = ('transposed', 'trilinear', 'nearest')


def check_volumes(name: str, x: Tensor, channels: int) -> None:
    """Refuse a batch that is none of volumes with so many channels.

    Raises:
        ValueError: the tensor has other axes, or another number of channels.
    """
    if x.ndim != 5 or x.shape[1] != channels:
        raise ValueError(
            f'{name} takes volumes (N, {channels}, D, H, W), got {tuple(x.shape)}: say '
            "sample='volume' in the data set, and in_channels in the network"
        )


def for_volumes(norm_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a norm layer as that of volumes.

    Example:
        >>> for_volumes(dict(type='BN', eps=1e-3)), for_volumes(dict(type='GN', num_groups=2))
        ({'type': 'BN3d', 'eps': 0.001}, {'type': 'GN', 'num_groups': 2})
    """
    cfg = dict(norm_cfg)
    return {**cfg, 'type': FOR_VOLUMES.get(cfg['type'], cfg['type'])}


def norm_layer(norm_cfg: dict | None, channels: int) -> nn.Module:
    """Return the norm layer of maps (N, C, D, H, W), BatchNorm by default.

    Args:
        norm_cfg: as in mmcv; `BN` and `IN` are those of volumes.
        channels: C.
    """
    layer: nn.Module = build_norm_layer(for_volumes(norm_cfg or dict(type='BN')), channels)[1]
    return layer


def conv_stack(
    in_channels: int, out_channels: int, count: int, norm_cfg: dict | None = None
) -> nn.Sequential:
    """Return `count` times conv3x3x3-norm-ReLU, convolutions with bias."""
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [
            nn.Conv3d(out_channels if i else in_channels, out_channels, 3, padding=1),
            norm_layer(norm_cfg, out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Down(nn.Sequential):
    """Halve a map by a strided 2 x 2 x 2 convolution, norm and ReLU; an odd side is rounded up."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict | None = None) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, 2, stride=2),
            norm_layer(norm_cfg, out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, ceil(D / 2), ceil(H / 2), ceil(W / 2))."""
        odd = [side % 2 for side in x.shape[2:]]
        if any(odd):
            x = F.pad(x, [n for side in reversed(odd) for n in (0, side)])
        return super().forward(x)


class Up(nn.Module):
    """Double a map, with norm and ReLU, as the decoders of V-Net do it.

    Args:
        in_channels: of the map.
        out_channels: of the result.
        norm_cfg: the norm layer.
        kind: a transposed 2 x 2 x 2 convolution (`transposed`), or interpolation, `trilinear`
            (corners aligned) or `nearest`, and a convolution.
        kernel: of that convolution. One of size 1 stands before the interpolation, which gives the
            same for an eighth of the work.

    Raises:
        ValueError: an unknown kind.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm_cfg: dict | None = None,
        kind: str = 'transposed',
        kernel: int = 3,
    ) -> None:
        if kind not in UPSAMPLE:
            raise ValueError(f'upsample must be one of {UPSAMPLE}, found {kind!r}')
        super().__init__()
        self.kind = kind
        self.conv: nn.Module
        if kind == 'transposed':
            self.conv = nn.ConvTranspose3d(in_channels, out_channels, 2, stride=2)
        else:
            self.conv = nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.interpolate_last = kind != 'transposed' and kernel == 1
        self.norm = norm_layer(norm_cfg, out_channels)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return (N, out_channels, *size); what is beyond the size is cut off.

        Args:
            x: a map of half the size, rounded up.
            size: D, H and W.
        """
        if self.kind == 'transposed':
            x = self.conv(x)
        elif self.interpolate_last:
            x = self._interpolate(self.conv(x))
        else:
            x = self.conv(self._interpolate(x))
        return F.relu(self.norm(x[..., : size[0], : size[1], : size[2]]), inplace=True)

    def _interpolate(self, x: Tensor) -> Tensor:
        corners = True if self.kind == 'trilinear' else None
        return F.interpolate(x, scale_factor=2, mode=self.kind, align_corners=corners)
