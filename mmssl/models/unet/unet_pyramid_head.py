"""The small U-Net's decoder with a prediction from every step."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmssl.models.unet.feature_noise import NOISE
from mmssl.models.unet.unet_decoder_head import UNetDecoderHead
from mmssl.registry import MODELS


@MODELS.register_module()
class UNetPyramidHead(UNetDecoderHead):
    """Decoder whose steps each give logits, as URPC trains it.

    A 3 x 3 convolution on the map of every step but the last gives logits at that size; in
    training, the map is perturbed before it. The main path is never perturbed. With the encoder it
    has 1,821,840 parameters from 1 channel to 4 classes; the released network has 9,220 more in a
    layer that it does not use.

    Args:
        noise: for every step but the last, the largest map last: `dropout`, `attention`, `scale`
            or None (see `mmssl.models.unet.feature_noise`).
        **kwargs: of `UNetDecoderHead`.

    Raises:
        ValueError: `noise` has another length, or an unknown name.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128, 256),
        noise: Sequence[str | None] = ('dropout', 'attention', 'scale'),
        **kwargs,
    ) -> None:
        super().__init__(in_channels, **kwargs)
        widths = list(in_channels)[-2:0:-1]
        if len(noise) != len(widths):
            raise ValueError(
                f'UNetPyramidHead has {len(widths)} side outputs but {len(noise)} '
                'entries in noise; give one for each, or None'
            )
        if unknown := {kind for kind in noise if kind is not None} - set(NOISE):
            raise ValueError(f'noise has {sorted(unknown)}; known are {list(NOISE)}')
        self.noise = [None if kind is None else NOISE[kind] for kind in noise]
        self.sides = nn.ModuleList(
            nn.Conv2d(width, self.out_channels, 3, padding=1) for width in widths
        )

    def forward_all(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of all steps, the main ones first, then from large to small."""
        *maps, last = self.climb(inputs)
        logits = [self.cls_seg(last)]
        for x, side, noise in reversed(list(zip(maps, self.sides, self.noise, strict=True))):
            logits.append(side(noise(x) if noise and self.training else x))
        return logits
