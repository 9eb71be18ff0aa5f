"""Decoders that say how far each pixel is from a boundary, next to its class."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmssl.models.unet.unet_decoder_head import UNetDecoderHead
from mmssl.registry import MODELS


class WithDistance:
    """What a decode head with signed distances is, before the class of the decoder in the bases.

    A second convolution, like the last one, stands on the last map. The logits predict; all other
    parameters have the names of a plain decoder.

    Args:
        in_channels: channels of the maps, largest map first.
        distances: maps of distances, one for each part of the segmentation; by default one for each
            class but the background, and one where there is a single channel.
        **kwargs: of the decoder.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        distances: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, **kwargs)  # type: ignore[call-arg]
        head: Any = self
        last = head.conv_seg
        self.conv_distance = type(last)(
            last.in_channels,
            max(last.out_channels - 1, 1) if distances is None else distances,
            last.kernel_size,
            padding=last.padding,
        )

    def forward_all(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits, and the distances before their tanh, of one last map."""
        head: Any = self
        x = head.climb(inputs)[-1]
        x = x if head.dropout is None else head.dropout(x)
        return [head.conv_seg(x), self.conv_distance(x)]


@MODELS.register_module()
class UNetDistanceHead(WithDistance, UNetDecoderHead):
    """Decoder of the U-Net with signed distances, as `DTC` and `SASSNet` train it.

    Args:
        distances: see `WithDistance`.
        **kwargs: of `UNetDecoderHead`.
    """
