"""What two networks say of an image, fused into one map by where they agree and are sure."""

from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmssl.models.strategies.uncertainty import entropy


def pair(low: int, middle: int, high: int, sizes: tuple[int, int], norm_cfg: Any) -> nn.Sequential:
    """Return two convolutions without bias, each followed by a norm and leaky ReLU."""
    layers: list[nn.Module] = []
    for a, b, size in ((low, middle, sizes[0]), (middle, high, sizes[1])):
        layers += [
            nn.Conv2d(a, b, size, padding=size // 2, bias=False),
            build_norm_layer(norm_cfg, b)[1],
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers)


class Fusion(nn.Module):
    """Fuse the logits of two networks; the `Discriminator` of the code of KnowSAM.

    It sees where both say the same of a class (probability above 1/2 or not), how sure each is
    (1 - entropy), and the logits. The fused logits are behind a norm and a leaky ReLU.

    Args:
        classes: channels of the logits.
        norm_cfg: the norm layers; one over the channels of the result is needed, too.
        width: channels of the three inputs; the logits have twice as many.
    """

    def __init__(
        self, classes: int, norm_cfg: dict[str, Any] | None = None, width: int = 16
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or dict(type='BN')
        self.agreement = pair(classes, width, width, (3, 1), norm_cfg)
        self.certainty = pair(2, width, width, (3, 1), norm_cfg)
        self.logits = pair(2 * classes, width, 2 * width, (3, 1), norm_cfg)
        self.last = pair(4 * width, 4 * width, classes, (3, 3), norm_cfg)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of those of two networks."""
        one, two = (z.float().softmax(1) for z in (first, second))
        agree = ((one > 0.5) == (two > 0.5)).to(one.dtype)
        sure = 1 - torch.cat([entropy(one), entropy(two)], 1)
        parts = [
            self.agreement(agree),
            self.certainty(sure),
            self.logits(torch.cat([first, second], 1)),
        ]
        fused: Tensor = self.last(torch.cat(parts, 1))
        return fused.float()
