"""Pseudo-labels: which pixels count, and how far two segmentations agree."""

import torch
from torch import Tensor

from mmssl.registry import THRESHOLDS


@THRESHOLDS.register_module()
class FixedThreshold:
    """Let a pixel count where its highest probability passes one value.

    Args:
        value: the threshold in [0, 1].
        strict: `>` (the released code of SynFoC) instead of `>=` (its paper).

    Example:
        >>> p = torch.tensor([0.9, 0.95, 0.97])
        >>> FixedThreshold(0.95)(p).tolist()
        [False, False, True]
        >>> FixedThreshold(0.95, strict=False)(p).tolist()
        [False, True, True]
    """

    def __init__(self, value: float = 0.95, strict: bool = True) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f'threshold value must lie in [0, 1], found {value}')
        self.value = value
        self.strict = strict

    def __call__(self, probability: Tensor) -> Tensor:
        """Return the boolean mask of the pixels that count, of the shape of `probability`."""
        return probability > self.value if self.strict else probability >= self.value


def agreement(a: Tensor, b: Tensor, smooth: float = 1.0) -> Tensor:
    """Return the smoothed Dice of two segmentations, a value for each image, mean over the parts.

    D(A, B) = (2 |A and B| + s) / (|A| + |B| + s + 0.001), and 1 where both are empty: the measure
    of the code released with SynFoC.

    Args:
        a: which pixels belong to each part, boolean (K, N, H, W).
        b: the same of the other segmentation.
        smooth: s of the formula.

    Returns:
        Agreement (N,) in [0, 1].

    Example:
        >>> a, b = torch.zeros(1, 1, 4, 4).bool(), torch.zeros(1, 1, 4, 4).bool()
        >>> a[..., :2, :2], b[..., :2, :] = True, True
        >>> round(agreement(a, b).item(), 6)
        0.692254
    """
    both = (a & b).sum((-2, -1))
    total = a.sum((-2, -1)) + b.sum((-2, -1))
    dice = (2 * both + smooth) / (total + smooth + 1e-3)
    return torch.where(total == 0, torch.ones_like(dice), dice).mean(0)
