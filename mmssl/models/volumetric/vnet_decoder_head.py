"""The decoder of the V-Net that methods on volumes train, and what decoders of volumes share."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmssl.compat import import_mmseg
from mmssl.models.volumetric.blocks import Up, conv_stack, layer_of
from mmssl.registry import MODELS

import_mmseg()
from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402


class VolumeDecoderHead(BaseDecodeHead):
    """What decoders of volumes share: maps of all levels in, logits at the size of the first out.

    A subclass makes the layers of its steps, then `conv_seg`, in this order, and `climb`.

    Args:
        in_channels: channels of the maps, largest map first.
        num_classes: channels of the logits.
        each: name and values of an option that has one value for each step.
        **kwargs: of mmsegmentation's `BaseDecodeHead`.

    Raises:
        ValueError: the option has another length.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        each: tuple[str, Sequence[float]],
        **kwargs,
    ) -> None:
        widths = list(in_channels)
        option, values = each
        if len(values) != len(widths) - 1:
            raise ValueError(
                f'{type(self).__name__} has {len(widths)} maps but {len(values)} numbers in '
                f'{option}; give one for each map but the smallest'
            )
        super().__init__(
            in_channels=widths,
            channels=widths[0],
            num_classes=num_classes,
            in_index=list(range(len(widths))),
            input_transform='multiple_select',
            dropout_ratio=0,
            **{'init_cfg': None, **kwargs},
        )

    def steps(self) -> list[tuple[int, int]]:
        """Return the channels of the smaller and of the larger map of each step, smallest first."""
        return list(zip(self.in_channels[1:], self.in_channels[:-1], strict=True))[::-1]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits (N, num_classes, D, H, W) at the size of the first map."""
        return self.cls_seg(self.climb(inputs)[-1])

    def climb(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the map of every step, smallest first."""
        raise NotImplementedError


@MODELS.register_module()
class VNetDecoderHead(VolumeDecoderHead):
    """Decoder of the V-Net in the form of UA-MT: from the encoder's maps to logits.

    Each step doubles the map, adds the encoder's map of that size, and applies a stack of 3 x 3 x 3
    convolutions; dropout of whole channels and a 1 x 1 x 1 convolution give the logits. MC-Net has
    decoders that differ in how they double the map.

    Args:
        in_channels: channels of the maps, largest map first.
        num_classes: channels of the logits.
        convs: convolutions of each step, largest map first.
        dropout: rate at which channels of the last map are dropped.
        norm_cfg: the norm layers; `BN` and `IN` are those of volumes, `none` is no layer.
        upsample: `transposed`, `trilinear` or `nearest`, see `Up`.
        kernel: of the convolution beside an interpolation: 3 in MC-Net, 1 in CauSSL.
        axes: of space: 3, or 2 for slices.
        **kwargs: of mmsegmentation's `BaseDecodeHead`.

    Raises:
        ValueError: an unknown `upsample`, or `convs` of another length.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        num_classes: int = 2,
        convs: Sequence[int] = (1, 2, 3, 3),
        dropout: float = 0.5,
        norm_cfg: dict | None = None,
        upsample: str = 'transposed',
        kernel: int = 3,
        axes: int = 3,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, num_classes, ('convs', convs), **kwargs)
        steps = self.steps()
        self.ups = nn.ModuleList(
            Up(low, high, norm_cfg, upsample, kernel, axes) for low, high in steps
        )
        self.convs = nn.ModuleList(
            conv_stack(high, high, count, norm_cfg, axes)
            for (_, high), count in zip(steps, list(convs)[::-1], strict=True)
        )
        self.dropout = layer_of('Dropout', axes)(dropout)
        self.conv_seg = layer_of('Conv', axes)(self.channels, self.out_channels, 1)

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def climb(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the map of every step, smallest first."""
        features = list(self._transform_inputs(inputs))
        x, maps = features.pop(), []
        for up, conv in zip(self.ups, self.convs, strict=True):
            skip = features.pop()
            x = conv(up(x, skip.shape[2:]) + skip)
            maps.append(x)
        return maps
