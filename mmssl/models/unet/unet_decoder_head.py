"""The decoder of the small U-Net that most methods on ACDC train."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.compat import import_mmseg
from mmssl.models.unet.unet_encoder import conv_block
from mmssl.registry import MODELS

UPSAMPLE = ('bilinear', 'transposed', 'nearest', 'bicubic')

import_mmseg()
from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402


@MODELS.register_module()
class UNetDecoderHead(BaseDecodeHead):
    """Decoder of the U-Net of SSL4MIS: from the encoder's feature maps to logits.

    Each step is a 1 x 1 convolution, bilinear upsampling (corners aligned) to the size of the
    next larger map, and two convolutions on both; a 3 x 3 convolution gives the logits. The
    released configs ask for transposed convolutions, but their decoder never passes that on; its
    parameter count shows that it has none. MC-Net has decoders that differ in this alone.

    Args:
        in_channels: channels of the feature maps, largest map first.
        num_classes: channels of the logits.
        dropout: dropout rate inside the steps.
        norm_cfg: the norm layers.
        upsample: `bilinear` or `bicubic` (corners aligned), `nearest`, or `transposed`, which is a
            transposed 2 x 2 convolution instead of 1 x 1 convolution and interpolation.
        **kwargs: of mmsegmentation's `BaseDecodeHead`.

    Raises:
        ValueError: an unknown `upsample`.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        num_classes: int = 4,
        dropout: float = 0.0,
        norm_cfg: dict | None = None,
        upsample: str = 'bilinear',
        **kwargs,
    ) -> None:
        if upsample not in UPSAMPLE:
            raise ValueError(f'upsample must be one of {UPSAMPLE}, found {upsample!r}')
        widths = list(in_channels)
        super().__init__(
            in_channels=widths,
            channels=widths[0],
            num_classes=num_classes,
            in_index=list(range(len(widths))),
            input_transform='multiple_select',
            dropout_ratio=0,
            **{'init_cfg': None, **kwargs},
        )
        steps = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.upsample = upsample
        layer, size = (nn.ConvTranspose2d, 2) if upsample == 'transposed' else (nn.Conv2d, 1)
        self.reduce = nn.ModuleList(layer(low, high, size, size) for low, high in steps)
        self.convs = nn.ModuleList(
            conv_block(2 * high, high, dropout, norm_cfg) for _, high in steps
        )
        self.conv_seg = nn.Conv2d(widths[0], self.out_channels, 3, padding=1)

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits (N, num_classes, H, W) at the size of the first feature map."""
        return self.cls_seg(self.climb(inputs)[-1])

    def climb(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the map of every step, smallest first."""
        features = list(self._transform_inputs(inputs))
        x, maps = features.pop(), []
        for reduce, conv in zip(self.reduce, self.convs, strict=True):
            skip = features.pop()
            x = conv(torch.cat([skip, self._resize(reduce(x), skip.shape[-2:])], dim=1))
            maps.append(x)
        return maps

    def _resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        if x.shape[-2:] == size:
            return x
        mode = 'bilinear' if self.upsample == 'transposed' else self.upsample  # an odd size
        return F.interpolate(
            x, size=size, mode=mode, align_corners=None if mode == 'nearest' else True
        )
