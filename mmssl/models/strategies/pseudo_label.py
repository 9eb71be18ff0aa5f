"""Pseudo-labels: which pixels count, how far two agree, who learns from whom, sharpening."""

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from mmssl.models.strategies.ramps import GaussianRamp
from mmssl.registry import THRESHOLDS
from mmssl.utils.resize import resize_nearest


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

    def __call__(self, probability: Tensor, iteration: int = 0, max_iters: int = 1) -> Tensor:
        """Return the boolean mask of the pixels that count, of the shape of `probability`.

        The iteration is what thresholds that move are asked with.
        """
        return probability > self.value if self.strict else probability >= self.value


@THRESHOLDS.register_module()
class RisingThreshold:
    """Let a pixel count where its highest probability reaches a rising value.

    `p >= (start + (1 - start) exp(-5 (1 - t / (length T))^2)) ln 2` at iteration t of T: CrossMatch
    asks of a probability on Left Atrium what UA-MT asks of an entropy, and so starts at little more
    than a half and ends below ln 2. Source: its released code, where T is 14,000 and the ramp
    17,000 long. There the first iteration lacks the factor ln 2, and each of the others has the
    value of the one before it.

    Args:
        start: value at the beginning, before the factor.
        length: of the ramp, as a multiple of the training.

    Raises:
        ValueError: an option is out of its range.

    Example:
        >>> threshold = RisingThreshold(0.75)
        >>> round(threshold.value(0, 100), 6), round(threshold.value(100, 100), 6)
        (0.521028, 0.693147)
        >>> threshold(torch.tensor([0.5, 0.6, 0.7]), 0, 100).tolist()
        [False, True, True]
    """

    def __init__(self, start: float = 0.75, length: float = 1.0) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f'start of RisingThreshold must lie in [0, 1], found {start}')
        self.start = start
        self.ramp = GaussianRamp(scale=1 - start, length=length)

    def value(self, iteration: int, max_iters: int) -> float:
        """Return the threshold at `iteration` (counted from 0) of `max_iters`."""
        return (self.start + self.ramp(iteration, max_iters)) * math.log(2)

    def __call__(self, probability: Tensor, iteration: int, max_iters: int) -> Tensor:
        """Return the boolean mask of the pixels that count, of the shape of `probability`."""
        return probability >= self.value(iteration, max_iters)


@THRESHOLDS.register_module()
class ClassBalancedThreshold:
    """Let the most confident share of the pixels of each class count, in every image by itself.

    One value for all classes lets the easy ones teach and keeps the hard ones silent: where a
    class never reaches it, its neighbours grow into it. Here a pixel of class c counts where it
    is among the `share` most confident of the pixels with label c (class-balanced self-training,
    Zou et al., ECCV 2018, https://arxiv.org/abs/1810.07911, which takes the share over all
    images). Of overlapping parts, inside and outside of each are the classes.

    Args:
        share: of the pixels of a class that count, in (0, 1]; rounded up to whole pixels.

    Raises:
        ValueError: the share is out of its range.

    Example:
        >>> p = torch.tensor([[0.9, 0.8, 0.99, 0.6, 0.5]])
        >>> ClassBalancedThreshold(0.5)(p, label=torch.tensor([[0, 0, 0, 1, 1]])).tolist()
        [[True, False, True, True, False]]
    """

    by_class = True

    def __init__(self, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise ValueError(f'share of ClassBalancedThreshold must lie in (0, 1], found {share}')
        self.share = share

    def __call__(
        self,
        probability: Tensor,
        iteration: int = 0,
        max_iters: int = 1,
        label: Tensor | None = None,
    ) -> Tensor:
        """Return the boolean mask of the pixels that count, of the shape of `probability`.

        Args:
            probability: of the label, (N, H, W); of overlapping parts (N, K, H, W).
            iteration: not asked for.
            max_iters: not asked for.
            label: classes (N, H, W), or 0 and 1 in float (N, K, H, W).

        Raises:
            ValueError: there is no label.
        """
        if label is None:
            raise ValueError(
                'ClassBalancedThreshold goes by the label of a pixel, which this method does not '
                "give it; take threshold=dict(type='FixedThreshold') here"
            )
        alone = 2 if label.is_floating_point() else 1  # axes of what is ordered by itself
        p, classes = probability.flatten(alone).detach(), label.flatten(alone).contiguous()
        # by class, and within it by confidence: a pixel's place says whether it counts
        order = p.argsort(dim=-1, descending=True, stable=True)
        by_class = classes.gather(-1, order).argsort(dim=-1, stable=True)
        order = order.gather(-1, by_class)
        ordered = classes.gather(-1, order)
        first = torch.searchsorted(ordered, ordered)
        size = torch.searchsorted(ordered, ordered, right=True) - first
        place = torch.arange(ordered.shape[-1], device=p.device) - first
        counts = torch.zeros_like(ordered, dtype=torch.bool)
        counts.scatter_(-1, order, place < self.share * size)
        return counts.view_as(probability)


def counted(threshold: Callable[..., Tensor], confidence: Tensor, label: Tensor) -> Tensor:
    """Return 1 where a pixel counts, else 0, in float; thresholds `by_class` are told the label.

    Args:
        threshold: the rule, one of `THRESHOLDS`.
        confidence: of the label, (N, H, W) or (N, K, H, W).
        label: of the same shape.
    """
    if getattr(threshold, 'by_class', False):
        return threshold(confidence, label=label).float()
    return threshold(confidence).float()


def agreement(a: Tensor, b: Tensor, smooth: float = 1.0, both_empty: float = 1.0) -> Tensor:
    """Return the smoothed Dice of two segmentations, a value for each image, mean over the parts.

    D(A, B) = (2 |A and B| + s) / (|A| + |B| + s + 0.001): the measure of the code released with
    SynFoC, and with UST-RUN.

    Args:
        a: which pixels belong to each part, boolean (K, N, H, W).
        b: the same of the other segmentation.
        smooth: s of the formula.
        both_empty: value where both are empty; 1 in SynFoC, 0 in UST-RUN.

    Returns:
        Agreement (N,) in [0, 1].

    Example:
        >>> a, b = torch.zeros(1, 1, 4, 4).bool(), torch.zeros(1, 1, 4, 4).bool()
        >>> a[..., :2, :2], b[..., :2, :] = True, True
        >>> round(agreement(a, b).item(), 6)
        0.692254
    """
    a, b = a.flatten(2), b.flatten(2)
    both, total = (a & b).sum(-1), a.sum(-1) + b.sum(-1)
    dice = (2 * both + smooth) / (total + smooth + 1e-3)
    return torch.where(total == 0, torch.full_like(dice, both_empty), dice).mean(0)


def learn_from_others(
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    criterion: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, Tensor]:
    """Return the loss of each network on the labels of all others, `sum_{j != i} L(z_i, y_j)`.

    Args:
        logits: of each network, (N, C, H, W).
        labels: hard label of each network on the same images, at any size.
        criterion: L, of logits and a label at their size.

    Example:
        >>> z, y = torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1)
        >>> losses = learn_from_others({'a': z, 'b': z}, {'a': y, 'b': 5 * y},
        ...                            lambda logits, label: label.sum())
        >>> {name: loss.item() for name, loss in losses.items()}
        {'a': 5.0, 'b': 1.0}
    """
    losses = {}
    for i, z in logits.items():
        of_others = [resize_nearest(y, z.shape[2:]) for j, y in labels.items() if j != i]
        losses[i] = cast(Tensor, sum(criterion(z, y) for y in of_others))
    return losses


def sharpen_classes(p: Tensor, temperature: float) -> Tensor:
    """Return `p^(1/T) / sum_c p_c^(1/T)` of class probabilities (N, C, H, W).

    In single precision: the powers underflow in half. So does `sharpen_each`.

    Example:
        >>> p = torch.tensor([0.6, 0.2, 0.2]).view(1, 3, 1, 1)
        >>> [round(x, 4) for x in sharpen_classes(p, 0.5).flatten().tolist()]
        [0.8182, 0.0909, 0.0909]
    """
    p = p.float() ** (1 / temperature)
    return p / p.sum(1, keepdim=True)


def sharpen_each(p: Tensor, temperature: float = 0.1) -> Tensor:
    """Return `p^(1/T) / (p^(1/T) + (1 - p)^(1/T))`, for each class by itself.

    Source: Wu et al., MC-Net+, https://arxiv.org/abs/2109.09960. Over the classes it does not sum
    to one.

    Example:
        >>> [round(x, 4) for x in sharpen_each(torch.tensor([0.0, 0.4, 0.5, 0.6, 1.0])).tolist()]
        [0.0, 0.017, 0.5, 0.983, 1.0]
    """
    p = p.float()
    a, b = p ** (1 / temperature), (1 - p) ** (1 / temperature)
    return a / (a + b)
