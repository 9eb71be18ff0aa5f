"""Several decoders on one encoder that differ in how they upsample."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from mmssl.models.unet.unet_decoder_head import UNetDecoderHead
from mmssl.registry import MODELS


class SeveralDecoders:
    """What a decode head with several decoders is, before the class of one decoder in the bases.

    The first decoder predicts; its parameters have the names of a lone one, so that the trained
    network is also a plain one.

    Args:
        in_channels: channels of the maps, largest map first.
        upsample: of every decoder, the first one's first.
        **kwargs: of `single`.
    """

    single: ClassVar[Any]
    """The class of one decoder."""

    def __init__(self, in_channels: Sequence[int], upsample: Sequence[str], **kwargs: Any) -> None:
        first, *others = upsample
        super().__init__(in_channels, upsample=first, **kwargs)  # type: ignore[call-arg]
        self.others = nn.ModuleList(
            self.single(in_channels, upsample=kind, **kwargs) for kind in others
        )

    def forward_all(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of all decoders."""
        first: Any = self
        return [first(inputs), *(decoder(inputs) for decoder in self.others)]


@MODELS.register_module()
class MultiDecoderHead(SeveralDecoders, UNetDecoderHead):
    """Decoders that differ in their upsampling, as MC-Net trains them on one encoder.

    The first one predicts; its parameters have the names of a lone `UNetDecoderHead`, so that the
    trained network is also a plain U-Net. With the encoder there are 2,577,624 parameters from 1
    channel to 4 classes with the default two decoders (MC-Net), 3,210,924 with `nearest` as the
    third (MC-Net+).

    Args:
        upsample: of every decoder, the first one's first.
        **kwargs: of `UNetDecoderHead`.
    """

    single = UNetDecoderHead

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        upsample: Sequence[str] = ('bilinear', 'transposed'),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, upsample, **kwargs)
