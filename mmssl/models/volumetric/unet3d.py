"""The 3D U-Net of SSL4MIS: encoder, decoder, and the decoder that URPC trains."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmssl.models.unet.unet_pyramid_head import SeveralScales
from mmssl.models.volumetric.blocks import check_volumes, conv_stack
from mmssl.models.volumetric.vnet_decoder_head import VolumeDecoderHead
from mmssl.registry import MODELS

WIDTHS = (16, 32, 64, 128, 256)
KAIMING = dict(type='Kaiming', layer='Conv3d', mode='fan_in')
IN3D = dict(type='IN3d')


@MODELS.register_module()
class UNet3DEncoder(BaseModule):
    """Encoder of the 3D U-Net that SSL4MIS trains on BraTS: a map of every level.

    Two 3 x 3 x 3 convolutions with InstanceNorm and ReLU a level, and max pooling to the next.
    Weights start from He's normal distribution.

    Args:
        in_channels: channels of the volume.
        widths: channels of each level; every level halves the size of the one before.
        dropout: rate at which values of the smallest map are dropped, 0.3 where it is no pyramid.
        norm_cfg: the norm layers, InstanceNorm by default.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = KAIMING,
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.levels = nn.ModuleList(
            conv_stack(low, high, 2, norm_cfg or IN3D)
            for low, high in zip((in_channels, *widths[:-1]), widths, strict=True)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, the i-th one (N, widths[i], D / 2^i, H / 2^i, W / 2^i).

        Raises:
            ValueError: `x` is no batch of volumes of so many channels, or too small.
        """
        check_volumes('UNet3DEncoder', x, self.in_channels)
        smallest = 2 ** (len(self.levels) - 1)
        if min(x.shape[2:]) < smallest:
            raise ValueError(
                f'UNet3DEncoder halves a volume {len(self.levels) - 1} times and needs at least '
                f'{smallest} voxels a side, got {tuple(x.shape[2:])}'
            )
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(F.max_pool3d(features[-1], 2) if features else x))
        features[-1] = self.dropout(features[-1])
        return tuple(features)


@MODELS.register_module()
class UNet3DDecoderHead(VolumeDecoderHead):
    """Decoder of the 3D U-Net of SSL4MIS: from the encoder's maps to logits.

    Each step enlarges the map trilinearly, joins the encoder's map of that size, and convolves
    twice; a 1 x 1 x 1 convolution gives the logits.

    Args:
        in_channels: channels of the maps, largest map first.
        num_classes: channels of the logits.
        dropout: rate behind each step, smallest map first: the default is that of the plain
            network, which drops single values.
        whole_channels: drop channels instead, as the network of URPC.
        norm_cfg: the norm layers, InstanceNorm by default.
        **kwargs: of mmsegmentation's `BaseDecodeHead`.

    Raises:
        ValueError: a dropout rate for each step is needed.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = WIDTHS,
        num_classes: int = 2,
        dropout: Sequence[float] = (0, 0, 0, 0.3),
        whole_channels: bool = False,
        norm_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        kwargs = {'init_cfg': KAIMING, **kwargs}
        super().__init__(in_channels, num_classes, ('dropout', dropout), **kwargs)
        self.convs = nn.ModuleList(
            conv_stack(low + high, high, 2, norm_cfg or IN3D) for low, high in self.steps()
        )
        layer = nn.Dropout3d if whole_channels else nn.Dropout
        self.drops = nn.ModuleList(layer(rate) for rate in dropout)
        self.conv_seg = nn.Conv3d(self.channels, self.out_channels, 1)

    def climb(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the map of every step, smallest first."""
        features = list(self._transform_inputs(inputs))
        x, maps = features.pop(), []
        for conv, drop in zip(self.convs, self.drops, strict=True):
            skip = features.pop()
            x = F.interpolate(x, skip.shape[2:], mode='trilinear', align_corners=False)
            x = drop(conv(torch.cat([skip, x], 1)))
            maps.append(x)
        return maps


@MODELS.register_module()
class UNet3DPyramidHead(SeveralScales, UNet3DDecoderHead):
    """Decoder of the 3D U-Net whose steps each give logits, as URPC trains it on volumes.

    A 1 x 1 x 1 convolution on the map of every step gives logits, which are enlarged trilinearly.

    Args:
        dropout: rate at which channels are dropped behind each step, smallest map first.
        noise: for every step but the last, see `UNetPyramidHead`; None by default.
        **kwargs: of `UNet3DDecoderHead`.

    Raises:
        ValueError: `noise` has another length, or an unknown name.
    """

    enlarge = 'trilinear'

    def __init__(
        self,
        in_channels: Sequence[int] = WIDTHS,
        dropout: Sequence[float] = (0.5, 0.3, 0.2, 0.1),
        whole_channels: bool = True,
        noise: Sequence[str | None] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, dropout=dropout, whole_channels=whole_channels, **kwargs)
        widths = list(in_channels)[-2:0:-1]
        self.add_sides(
            widths, noise or [None] * len(widths), lambda w: nn.Conv3d(w, self.out_channels, 1)
        )
