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


def part_table(parts: list[list[int]], num_classes: int) -> Tensor:
    """Return the boolean table (K, C) that says which classes make up each part.

    Args:
        parts: class ids of each part; parts may overlap (disc = cup and rim).
        num_classes: number of classes, background included.

    Raises:
        ValueError: if a part is empty or names a class that does not exist.

    Example:
        >>> part_table([[1], [1, 2]], 3).int().tolist()
        [[0, 1, 0], [0, 1, 1]]
    """
    table = torch.zeros(len(parts), num_classes, dtype=torch.bool, device='cpu')
    for row, ids in zip(table, parts, strict=True):
        if not ids or min(ids) < 1 or max(ids) >= num_classes:
            raise ValueError(
                f'part {ids} must name classes from 1 to {num_classes - 1}; '
                'check `parts` and the number of classes of the networks'
            )
        row[list(ids)] = True
    return table


def agreement(a: Tensor, b: Tensor, parts: Tensor, smooth: float = 1.0) -> Tensor:
    """Return the smoothed Dice of two label maps, a value for each image, mean over the parts.

    D(A, B) = (2 |A and B| + s) / (|A| + |B| + s + 0.001), and 1 where both are empty: the measure
    of the code released with SynFoC.

    Args:
        a: class ids (N, H, W).
        b: class ids (N, H, W).
        parts: table (K, C) of `part_table`.
        smooth: s of the formula.

    Returns:
        Agreement (N,) in [0, 1].

    Example:
        >>> a, b = torch.zeros(1, 4, 4).long(), torch.zeros(1, 4, 4).long()
        >>> a[0, :2, :2], b[0, :2] = 1, 1
        >>> round(agreement(a, b, part_table([[1]], 2)).item(), 6)
        0.692254
    """
    in_a, in_b = parts[:, a], parts[:, b]  # (K, N, H, W)
    both = (in_a & in_b).sum((-2, -1))
    total = in_a.sum((-2, -1)) + in_b.sum((-2, -1))
    dice = (2 * both + smooth) / (total + smooth + 1e-3)
    return torch.where(total == 0, torch.ones_like(dice), dice).mean(0)
