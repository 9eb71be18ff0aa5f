"""Consistency of two predictions: squared distance and Kullback-Leibler divergence."""

from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from mmssl.registry import MODELS
from mmssl.utils.dist import sum_over_ranks


def edge_distance(p: Tensor, g: Tensor) -> Tensor:
    """Return the mean squared distance of the spatial differences of two maps (N, C, H, W).

    A volume (N, C, D, H, W) has those of three axes.

    Example:
        >>> p, g = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
        >>> edge_distance(p, g).item(), edge_distance(p, p + 1).item()
        (1.0, 0.0)
    """
    d = p - g
    along = (d.diff(dim=axis).square().mean() for axis in range(d.dim() - 1, 1, -1))
    return cast(Tensor, sum(along))


class _Consistency(nn.Module, ABC):
    """Base: the mean of a distance over pixels and channels, of all pixels or of those in a mask.

    With the distance d and a mask m: `sum(m d) / (channels sum(m) + eps)`, both sums over the
    batch and all ranks. Where every channel has a mask of its own, `sum(m d) / (sum(m) + eps)`.

    Args:
        channels: divisor beside the number of pixels in the mask; None takes what there are. The
            code of UA-MT takes 2, whatever the number of classes.
        eps: summand of the denominator, for an empty mask.
    """

    def __init__(self, channels: int | None = None, eps: float = 1e-16) -> None:
        super().__init__()
        if channels is not None and channels < 1:
            raise ValueError(f'channels must be at least 1, or None for all; found {channels}')
        self.channels = channels
        self.eps = eps

    @staticmethod
    @abstractmethod
    def distance(p: Tensor, q: Tensor) -> Tensor:
        """Return the distance in every pixel and channel, (N, C, H, W)."""

    def forward(self, p: Tensor, q: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            p: probabilities that learn, (N, C, H, W).
            q: probabilities to follow, (N, C, H, W).
            mask: 1 where a pixel counts, else 0, (N, 1, H, W), or (N, C, H, W) for channels that
                count one by one; all pixels by default.
        """
        d = self.distance(p.float(), q.float())
        mask = torch.ones_like(d[:, :1]) if mask is None else mask.to(d.dtype)
        channels = (self.channels or d.shape[1]) if mask.shape[1] == 1 else 1
        total, count = sum_over_ranks(torch.stack([(mask * d).sum(), mask.sum()]))
        loss: Tensor = total / (channels * count + self.eps)
        return loss


@MODELS.register_module()
class MSEConsistencyLoss(_Consistency):
    """Mean of `(p - q)^2`: the consistency of Mean Teacher, UA-MT and many after them.

    Source: Tarvainen and Valpola, Mean teachers, https://arxiv.org/abs/1703.01780.

    Example:
        >>> p = torch.tensor([0.7, 0.3, 0.5, 0.5]).view(2, 2, 1, 1)
        >>> q, mask = torch.full_like(p, 0.5), torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
        >>> round(MSEConsistencyLoss()(p, q).item(), 6)
        0.02
        >>> round(MSEConsistencyLoss()(p, q, mask).item(), 6)
        0.04
        >>> round(MSEConsistencyLoss(channels=1)(p, q, mask).item(), 6)
        0.08
    """

    @staticmethod
    def distance(p: Tensor, q: Tensor) -> Tensor:
        """Return `(p - q)^2`."""
        return (p - q) ** 2


@MODELS.register_module()
class KLConsistencyLoss(_Consistency):
    """Mean of `q ln(q / p)`; with `channels=1` the Kullback-Leibler divergence of each pixel.

    Example:
        >>> p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])
        >>> loss = KLConsistencyLoss(channels=1)(p.view(1, 2, 1, 1), q.view(1, 2, 1, 1))
        >>> round(loss.item(), 6)  # 0.75 ln 1.5 + 0.25 ln 0.5
        0.130812
    """

    @staticmethod
    def distance(p: Tensor, q: Tensor) -> Tensor:
        """Return `q ln(q / p)`, 0 where q is 0."""
        return torch.xlogy(q, q) - q * p.clamp(min=torch.finfo(p.dtype).tiny).log()
