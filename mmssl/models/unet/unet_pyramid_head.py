"""A U-shaped network's decoder with a prediction from every step."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.models.unet.feature_noise import NOISE
from mmssl.models.unet.unet_decoder_head import UNetDecoderHead
from mmssl.registry import MODELS


class SeveralScales:
    """What a decode head with a prediction from every step is, before a decoder in the bases.

    A convolution on the map of every step but the last gives logits at that size; in training, the
    map is perturbed before it. The main path is never perturbed. The decoder has `climb`.
    """

    enlarge: str | None = None
    """How logits are brought to the size of the main ones; None leaves it to who asks for them."""

    def add_sides(
        self, widths: Sequence[int], noise: Sequence[str | None], side: Callable[[int], nn.Module]
    ) -> None:
        """Make the convolutions beside the main path.

        Args:
            widths: channels of the maps, the smallest map first.
            noise: of each map, a name of `mmssl.models.unet.feature_noise` or None.
            side: makes a convolution for so many channels.

        Raises:
            ValueError: `noise` has another length, or an unknown name.
        """
        if len(noise) != len(widths):
            raise ValueError(
                f'{type(self).__name__} has {len(widths)} side outputs but {len(noise)} '
                'entries in noise; give one for each, or None'
            )
        if unknown := {kind for kind in noise if kind is not None} - set(NOISE):
            raise ValueError(f'noise has {sorted(unknown)}; known are {list(NOISE)}')
        self.noise = [None if kind is None else NOISE[kind] for kind in noise]
        self.sides = nn.ModuleList(side(width) for width in widths)

    def forward_all(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits of all steps, the main ones first, then from large to small."""
        decoder: Any = self
        *maps, last = decoder.climb(inputs)
        logits = [decoder.cls_seg(last)]
        for x, side, noise in reversed(list(zip(maps, self.sides, self.noise, strict=True))):
            z = side(noise(x) if noise and decoder.training else x)
            if self.enlarge:
                z = F.interpolate(z, last.shape[2:], mode=self.enlarge, align_corners=False)
            logits.append(z)
        return logits


@MODELS.register_module()
class UNetPyramidHead(SeveralScales, UNetDecoderHead):
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
        self.add_sides(
            list(in_channels)[-2:0:-1],
            noise,
            lambda width: nn.Conv2d(width, self.out_channels, 3, padding=1),
        )
