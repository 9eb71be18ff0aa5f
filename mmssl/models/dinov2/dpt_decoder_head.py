"""The head that makes logits of the tokens of four blocks of a vision transformer."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.compat import import_mmseg
from mmssl.models.dinov2.dinov2 import PATCH
from mmssl.registry import MODELS

import_mmseg()
from mmseg.models.decode_heads.decode_head import BaseDecodeHead  # noqa: E402


@MODELS.register_module()
class DPTDecoderHead(BaseDecodeHead):
    """Head of the dense prediction transformer, as UniMatch V2 has it behind DINOv2.

    Ranftl et al., Vision Transformers for Dense Prediction, https://arxiv.org/abs/2103.13413, in
    the code of UniMatch V2, https://arxiv.org/abs/2410.10777. The four maps of one size are
    projected to `widths` and brought to 4, 2, 1 and 1/2 of it; from the smallest on, each is added
    to the one before it, scaled up. It differs from mmsegmentation's `DPTHead` in biases, in the
    head's first map and in what is scaled to what at odd sizes.

    Args:
        in_channels: channels of the four maps.
        num_classes: channels of the logits.
        widths: channels of the four maps, projected.
        channels: of the maps that are added. With `widths` 64, 128 and 256 as published for
            `vit_s`, `vit_b` (96, 192, 384, 768) and `vit_l` (256, 512, 1024, 1024).
        patch: side in pixels of what a token stands for.
        **kwargs: of mmsegmentation's `BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (384, 384, 384, 384),
        num_classes: int = 4,
        widths: Sequence[int] = (48, 96, 192, 384),
        channels: int = 64,
        patch: int = PATCH,
        **kwargs,
    ) -> None:
        super().__init__(
            in_channels=list(in_channels),
            channels=channels,
            num_classes=num_classes,
            in_index=list(range(len(in_channels))),
            input_transform='multiple_select',
            dropout_ratio=0,
            **{'init_cfg': None, **kwargs},
        )
        self.patch = patch
        both = zip(in_channels, widths, strict=True)
        self.projects = nn.ModuleList(nn.Conv2d(wide, width, 1) for wide, width in both)
        self.resizes = nn.ModuleList(
            [
                nn.ConvTranspose2d(widths[0], widths[0], 4, 4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, 2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, 2, 1),
            ]
        )
        self.smooths = nn.ModuleList(
            nn.Conv2d(width, channels, 3, padding=1, bias=False) for width in widths
        )
        self.skips = nn.ModuleList(_Residual(channels) for _ in widths[:-1])
        self.mixes = nn.ModuleList(_Residual(channels) for _ in widths)
        self.outs = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in widths)
        self.last = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())

    def compiled_regions(self) -> list[nn.Module]:
        """Return what is compiled: all of it, as one."""
        return [self]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits (N, num_classes, H, W) at `patch` times the size of the maps."""
        features = self._transform_inputs(inputs)
        parts = zip(features, self.projects, self.resizes, self.smooths, strict=True)
        maps = [smooth(resize(project(x))) for x, project, resize, smooth in parts]
        x = maps[-1]
        for i in reversed(range(len(maps))):
            if i < len(self.skips):
                x = x + self.skips[i](maps[i])
            rows, columns = x.shape[-2:]
            size = maps[i - 1].shape[-2:] if i else (2 * rows, 2 * columns)
            x = self.outs[i](_scale(self.mixes[i](x), size))
        rows, columns = features[0].shape[-2:]
        return _scale(self.cls_seg(self.last(x)), (self.patch * rows, self.patch * columns))


class _Residual(nn.Module):
    """Two convolutions behind ReLUs, added to what they see."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convs = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.layers = nn.Sequential(*(layer for conv in convs for layer in (nn.ReLU(), conv)))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.layers(x)
        return added


def _scale(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=True)
