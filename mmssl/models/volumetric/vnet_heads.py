"""The forms of the V-Net's decoder that predict several times, or distances too."""

from collections.abc import Sequence

from torch import nn

from mmssl.models.unet.distance_head import WithDistance
from mmssl.models.unet.multi_decoder_head import SeveralDecoders
from mmssl.models.unet.unet_pyramid_head import SeveralScales
from mmssl.models.volumetric.vnet_decoder_head import VNetDecoderHead
from mmssl.registry import MODELS


@MODELS.register_module()
class VNetMultiDecoderHead(SeveralDecoders, VNetDecoderHead):
    """Decoders that differ in their upsampling, as MC-Net trains them on one V-Net encoder.

    The first one predicts; its parameters have the names of a lone `VNetDecoderHead`. With the
    encoder there are 12,347,716 parameters from 1 channel to 2 classes with the default two
    decoders (MC-Net), 15,246,566 with `nearest` as the third (MC-Net+). MCCauSSL has the same three
    with a `kernel` of 1.

    Args:
        upsample: of every decoder, the first one's first.
        **kwargs: of `VNetDecoderHead`.
    """

    single = VNetDecoderHead

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        upsample: Sequence[str] = ('transposed', 'trilinear'),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, upsample, **kwargs)


@MODELS.register_module()
class VNetDistanceHead(WithDistance, VNetDecoderHead):
    """Decoder of the V-Net with signed distances, as `DTC` and `SASSNet` train it.

    With the encoder and one channel each there are 9,448,866 parameters, as many as `VNetEncoder`
    and `VNetDecoderHead` have with two classes.

    Args:
        distances: see `WithDistance`.
        **kwargs: of `VNetDecoderHead`.
    """


@MODELS.register_module()
class VNetPyramidHead(SeveralScales, VNetDecoderHead):
    """Decoder of the V-Net whose steps each give logits, brought to the size of the main ones.

    Args:
        noise: for every step but the last, the largest map last, see `UNetPyramidHead`; by default
            nothing is perturbed, as in URPC's code for volumes.
        **kwargs: of `VNetDecoderHead`.

    Raises:
        ValueError: `noise` has another length, or an unknown name.
    """

    enlarge = 'trilinear'

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        noise: Sequence[str | None] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, **kwargs)
        widths = list(in_channels)[-2:0:-1]
        self.add_sides(
            widths, noise or [None] * len(widths), lambda w: nn.Conv3d(w, self.out_channels, 1)
        )
