"""The encoder of the small U-Net with a second way in, for features in place of the image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.unet.unet_encoder import UNetEncoder, conv_block
from mmssl.registry import MODELS


@MODELS.register_module()
class TwoStemUNetEncoder(UNetEncoder):
    """`UNetEncoder` whose first level there is twice: for images and for maps of features.

    What comes after the first level is one for both. The channels of the input say which it is.
    Images and features in one pass share the batch statistics of all later norm layers, which so
    are those of both at test time, too.

    Args:
        feature_channels: channels of the features.
        in_channels, widths, dropout, norm_cfg: of `UNetEncoder`.

    Raises:
        ValueError: images and features have as many channels, so that nothing tells them apart.
    """

    def __init__(
        self,
        feature_channels: int = 30,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        dropout: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.5),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(in_channels, widths, dropout, norm_cfg, init_cfg)
        if feature_channels == in_channels:
            raise ValueError(
                f'Images and features both have {in_channels} channels: set feature_channels to '
                'another number'
            )
        self.feature_channels = feature_channels
        self.feature_stem = conv_block(feature_channels, widths[0], dropout[0], norm_cfg)

    def forward(self, x: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the feature maps of images, of features, or of several of them one by one.

        Args:
            x: (N, C, H, W), or a sequence of these of one size, which go on together.
        """
        several = [x] if isinstance(x, Tensor) else list(x)
        maps = [torch.cat([self.stem(one) for one in several])]
        for level in self.levels[1:]:
            maps.append(level(F.max_pool2d(maps[-1], 2)))
        return tuple(maps)

    def stem(self, x: Tensor) -> Tensor:
        """Return the first map of images or of features."""
        self.check_size(x, self.in_channels, self.feature_channels)
        stem = self.levels[0] if x.shape[1] == self.in_channels else self.feature_stem
        first: Tensor = stem(x)
        return first
