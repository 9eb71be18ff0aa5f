"""A network of a few hundred weights in the place of DINOv2 and its DPT head, for both sides."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.registry import MODELS

PATCH, WIDTH = 14, 6


class Encoder(nn.Module):
    """Four maps (N, 6, H / 14, W / 14), as ours; as theirs, their tokens."""

    embed_dim = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(4))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps."""
        maps = [self.patch(x)]
        for block in self.blocks:
            maps.append(maps[-1] + block(maps[-1]).tanh())
        return maps[1:]

    def get_intermediate_layers(self, x: Tensor, indices: object) -> list[Tensor]:
        """Return the maps as tokens (N, H W, 6)."""
        return [f.flatten(2).transpose(1, 2) for f in self(x)]


class Head(nn.Module):
    """Logits of four maps or of their tokens, with a batch norm."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.projects = nn.ModuleList(nn.Conv2d(WIDTH, 5, 1, bias=False) for _ in range(4))
        self.norm = nn.BatchNorm2d(5)
        self.out = nn.Conv2d(5, classes, 1)

    def forward(self, features: Iterable[Tensor], rows: int = 0, columns: int = 0) -> Tensor:
        """Return logits (N, C, H / 14, W / 14)."""
        maps = [f.transpose(1, 2).unflatten(2, (rows, columns)) if rows else f for f in features]
        both = zip(self.projects, maps, strict=True)
        logits: Tensor = self.out(self.norm(sum(project(f) for project, f in both)).relu())
        return logits


@MODELS.register_module(force=True)
class SmallDPT(nn.Module):
    """Encoder and head as a student of ours, logits at the size of the image."""

    with_auxiliary_head = False

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.out_channels = classes
        self.backbone, self.head = Encoder(), Head(classes)

    def extract_feat(self, x: Tensor) -> list[Tensor]:
        """Return the maps."""
        maps: list[Tensor] = self.backbone(x)
        return maps

    def decode_head(self, maps: list[Tensor]) -> Tensor:
        """Return logits (N, C, H, W)."""
        size = [PATCH * side for side in maps[0].shape[2:]]
        return F.interpolate(self.head(maps), size, mode='bilinear', align_corners=True)

    def forward(self, x: Tensor, mode: str = 'tensor') -> Tensor:
        """Return logits (N, C, H, W)."""
        return self.decode_head(self.extract_feat(x))
