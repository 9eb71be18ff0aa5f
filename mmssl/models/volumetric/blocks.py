"""What the networks for volumes are built of, and a V-Net of slices."""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmssl.utils.resize import LINEAR

FOR_VOLUMES = {'BN': 'BN3d', 'BN1d': 'BN3d', 'BN2d': 'BN3d', 'IN': 'IN3d', 'IN2d': 'IN3d'}
UPSAMPLE = ('transposed', 'trilinear', 'nearest')


def layer_of(kind: str, axes: int) -> Any:
    """Return PyTorch's layer of a kind for 2 or 3 spatial axes.

    Raises:
        ValueError: another number of axes.

    Example:
        >>> layer_of('Conv', 2) is nn.Conv2d
        True
    """
    if axes not in (2, 3):
        raise ValueError(f'axes must be 2 (slices) or 3 (volumes), found {axes!r}')
    return getattr(nn, f'{kind}{axes}d')


def check_images(name: str, x: Tensor, channels: int, axes: int) -> None:
    """Refuse a batch that is none of slices, or of volumes, with so many channels.

    Raises:
        ValueError: the tensor has other axes, or another number of channels.
    """
    if axes == 3:
        check_volumes(name, x, channels)
    elif x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f'{name} with axes=2 takes images (N, {channels}, H, W), got {tuple(x.shape)}: set '
            'in_channels to theirs, or axes=3 for volumes'
        )


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


def norm_layer(norm_cfg: dict | None, channels: int, axes: int = 3) -> nn.Module:
    """Return the norm layer of maps (N, C, D, H, W), or (N, C, H, W), BatchNorm by default.

    Args:
        norm_cfg: as in mmcv; `BN` and `IN` are those of the axes, `none` is no layer.
        channels: C.
        axes: of space, 2 or 3.
    """
    cfg = norm_cfg or dict(type='BN')
    if cfg['type'] == 'none':
        return nn.Identity()
    layer: nn.Module = build_norm_layer(for_volumes(cfg) if axes == 3 else cfg, channels)[1]
    return layer


def conv_stack(
    in_channels: int,
    out_channels: int,
    count: int,
    norm_cfg: dict | None = None,
    axes: int = 3,
) -> nn.Sequential:
    """Return `count` times conv3x3x3-norm-ReLU, convolutions with bias; 3 x 3 with two axes."""
    conv, layers = layer_of('Conv', axes), []
    for i in range(count):
        layers += [
            conv(out_channels if i else in_channels, out_channels, 3, padding=1),
            norm_layer(norm_cfg, out_channels, axes),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class Down(nn.Sequential):
    """Halve a map by a strided 2 x 2 x 2 convolution, norm and ReLU; an odd side is rounded up."""

    def __init__(
        self, in_channels: int, out_channels: int, norm_cfg: dict | None = None, axes: int = 3
    ) -> None:
        super().__init__(
            layer_of('Conv', axes)(in_channels, out_channels, 2, stride=2),
            norm_layer(norm_cfg, out_channels, axes),
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
        axes: of space, 2 or 3; with 2 the interpolation is bilinear.

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
        axes: int = 3,
    ) -> None:
        if kind not in UPSAMPLE:
            raise ValueError(f'upsample must be one of {UPSAMPLE}, found {kind!r}')
        super().__init__()
        self.kind = kind
        self.conv: nn.Module
        if kind == 'transposed':
            self.conv = layer_of('ConvTranspose', axes)(in_channels, out_channels, 2, stride=2)
        else:
            conv = layer_of('Conv', axes)
            self.conv = conv(in_channels, out_channels, kernel, padding=kernel // 2)
        self.interpolate_last = kind != 'transposed' and kernel == 1
        self.norm = norm_layer(norm_cfg, out_channels, axes)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return (N, out_channels, *size); what is beyond the size is cut off.

        Args:
            x: a map of half the size, rounded up.
            size: D, H and W; H and W of slices.
        """
        if self.kind == 'transposed':
            x = self.conv(x)
        elif self.interpolate_last:
            x = self._interpolate(self.conv(x))
        else:
            x = self.conv(self._interpolate(x))
        for axis, side in enumerate(size, 2):
            x = x.narrow(axis, 0, side)
        return F.relu(self.norm(x), inplace=True)

    def _interpolate(self, x: Tensor) -> Tensor:
        if self.kind == 'nearest':
            return F.interpolate(x, scale_factor=2, mode='nearest')
        return F.interpolate(x, scale_factor=2, mode=LINEAR[x.dim() - 2], align_corners=True)
