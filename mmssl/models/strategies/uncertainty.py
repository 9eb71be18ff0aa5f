"""How sure a network is of a pixel: noise on its input, the entropy of many noisy passes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmssl.models.strategies.ramps import GaussianRamp
from mmssl.registry import THRESHOLDS


def add_noise(x: Tensor, std: float = 0.1, limit: float = 0.2) -> Tensor:
    """Add normal noise to images, cut off at `limit`.

    Args:
        x: images as the network sees them.
        std: standard deviation in units of the network's input.
        limit: largest absolute value of the noise.
    """
    return x + (std * torch.randn_like(x)).clamp(-limit, limit)


@torch.no_grad()
def monte_carlo_mean(
    predict: Callable[[Tensor], Tensor], x: Tensor, samples: int = 8, repeat: int = 2
) -> Tensor:
    """Return the mean of several random predictions of the same images.

    Source: UA-MT, https://arxiv.org/abs/1907.07034.

    Args:
        predict: random map of images (N, C, H, W) to probabilities (N, K, h, w).
        x: the images.
        samples: number of predictions of each image.
        repeat: how many of them share a pass (and its batch statistics).

    Raises:
        ValueError: if `repeat` does not divide `samples`.

    Example:
        >>> passes = iter([1.0, 2.0])
        >>> monte_carlo_mean(lambda x: x * next(passes), torch.ones(1, 1, 1, 1), 4).item()
        1.5
    """
    if samples < 1 or repeat < 1 or samples % repeat:
        raise ValueError(f'repeat must divide samples, found {repeat} and {samples}')
    total, times = torch.zeros((), device=x.device), (repeat, *(1,) * (x.dim() - 1))
    for _ in range(samples // repeat):
        total = total + torch.unflatten(predict(x.repeat(times)), 0, (repeat, -1)).sum(0)
    return total / samples


def entropy(p: Tensor, eps: float = 1e-6) -> Tensor:
    """Return the entropy of class probabilities in nats, `-sum_c p_c ln(p_c + eps)`.

    Args:
        p: probabilities (N, C, H, W).
        eps: summand in the logarithm.

    Returns:
        Entropy (N, 1, H, W).

    Example:
        >>> round(entropy(torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)).item(), 4)  # 1.5 ln 2
        1.0397
    """
    return -(p * (p + eps).log()).sum(1, keepdim=True)


def mean_entropy(p: Tensor, classes: int) -> Tensor:
    """Return the mean entropy of probabilities (N, C, H, W) in units of the logarithm of `classes`.

    Example:
        >>> round(mean_entropy(torch.full((1, 4, 1, 1), 0.25), 4).item(), 4)
        1.0
    """
    return entropy(p).mean() / math.log(classes)


def entropy_of_parts(p: Tensor, eps: float = 1e-6) -> Tensor:
    """Return the entropy of every part that a pixel belongs to or not, (N, K, H, W).

    Example:
        >>> round(entropy_of_parts(torch.full((1, 1, 1, 1), 0.5)).item(), 4)  # ln 2
        0.6931
    """
    q = 1 - p
    return -(p * (p + eps).log() + q * (q + eps).log())


@THRESHOLDS.register_module()
class UncertaintyThreshold:
    """Let a pixel count where its entropy lies under a rising part of the largest entropy.

    `U < (start + (1 - start) exp(-5 (1 - t / T)^2)) ln(classes)`. Source: UA-MT,
    https://arxiv.org/abs/1907.07034.

    Args:
        start: part of the largest entropy at the beginning.
        classes: classes of which ln is the largest entropy. The published codes take 2, whatever
            the number of classes: with 4 classes the threshold ends at half of the largest entropy.

    Example:
        >>> threshold = UncertaintyThreshold()
        >>> round(threshold.value(0, 100), 6), round(threshold.value(100, 100), 6)
        (0.521028, 0.693147)
        >>> threshold(torch.tensor([0.5, 0.6, 0.7]), 0, 100).tolist()
        [True, False, False]
    """

    def __init__(self, start: float = 0.75, classes: int = 2) -> None:
        if not 0 <= start <= 1:
            raise ValueError(f'start must lie in [0, 1], found {start}')
        if classes < 2:
            raise ValueError(f'classes must be at least 2, found {classes}')
        self.start = start
        self.classes = classes
        self.ramp = GaussianRamp(scale=1 - start)

    def value(self, iteration: int, max_iters: int) -> float:
        """Return the threshold at `iteration` (counted from 0) of `max_iters`."""
        return (self.start + self.ramp(iteration, max_iters)) * math.log(self.classes)

    def __call__(self, uncertainty: Tensor, iteration: int, max_iters: int) -> Tensor:
        """Return the boolean mask of the pixels that count, of the shape of `uncertainty`."""
        return uncertainty < self.value(iteration, max_iters)
