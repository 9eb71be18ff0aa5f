"""The encoder of the V-Net that methods on volumes train."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmssl.models.volumetric.blocks import Down, check_images, conv_stack, layer_of
from mmssl.registry import MODELS


@MODELS.register_module()
class VNetEncoder(BaseModule):
    """Encoder of the V-Net (Milletari et al., 3DV 2016) in the form of UA-MT: a map of every level.

    A level is a stack of 3 x 3 x 3 convolutions with norm and ReLU; a strided convolution leads to
    the next. With `VNetDecoderHead` it has 9,448,866 parameters from 1 channel to 2 classes. A side
    that a level cannot halve is padded by a voxel, which the decoder cuts off again. Weights start
    as PyTorch initialises them.

    Args:
        in_channels: channels of the volume.
        widths: channels of each level; every level halves the size of the one before.
        convs: convolutions of each level.
        dropout: rate at which channels of the smallest map are dropped.
        norm_cfg: the norm layers; `BN` and `IN` are those of volumes, `none` is no layer.
        axes: of space: 3, or 2 for slices, where convolutions are 3 x 3 and 2 x 2.
        early_skips: give of the levels between the first and the last what comes into their
            convolutions, as the V-Net of KnowSAM does, not what comes out.

    Raises:
        ValueError: a number of convolutions for each level is needed, or `axes` is another number.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128, 256),
        convs: Sequence[int] = (1, 2, 3, 3, 3),
        dropout: float = 0.5,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
        axes: int = 3,
        early_skips: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        if len(widths) != len(convs):
            raise ValueError(
                f'VNetEncoder has {len(widths)} widths but {len(convs)} numbers in convs; give one '
                'for each level'
            )
        self.in_channels, self.axes, self.early_skips = in_channels, axes, early_skips
        self.levels = nn.ModuleList(
            conv_stack(widths[i] if i else in_channels, width, count, norm_cfg, axes)
            for i, (width, count) in enumerate(zip(widths, convs, strict=True))
        )
        self.downs = nn.ModuleList(
            Down(low, high, norm_cfg, axes)
            for low, high in zip(widths[:-1], widths[1:], strict=True)
        )
        self.dropout = layer_of('Dropout', axes)(dropout)

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, the i-th one (N, widths[i], D / 2^i, H / 2^i, W / 2^i), rounded up.

        Raises:
            ValueError: `x` is no batch of volumes, or of slices, of so many channels.
        """
        check_images('VNetEncoder', x, self.in_channels, self.axes)
        x = self.levels[0](x)
        features = [x]
        for down, level in zip(self.downs, self.levels[1:], strict=True):
            x = down(x)
            features.append(x)
            x = level(x)
            if not self.early_skips:
                features[-1] = x
        return (*features[:-1], self.dropout(x))
