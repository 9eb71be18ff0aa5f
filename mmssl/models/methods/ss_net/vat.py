"""Virtual adversarial training: the small change of an image that changes the output most."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmssl.utils.dist import sum_over_ranks


def soft_dice(p: Tensor, q: Tensor, eps: float = 1e-10, plain: bool = False) -> Tensor:
    """Return the Dice distance of two probability maps (N, C, H, W), the mean over the classes.

    `1 - (2 sum(p q) + eps) / (sum(p^2) + sum(q^2) + eps)`, sums over batch and ranks. With `plain`
    it is one distance over all classes together, with p and q in the denominator.

    Example:
        >>> p = torch.tensor([0.6, 0.4]).view(1, 2, 1, 1)
        >>> q = torch.tensor([0.3, 0.7]).view(1, 2, 1, 1)
        >>> round(soft_dice(p, q).item(), 6)
        0.169231
        >>> round(soft_dice(p, q, plain=True).item(), 6)
        0.54
    """
    dims = (0, *range(2, p.dim()))
    sums = torch.stack([(p * q).sum(dims), (p + q if plain else p**2 + q**2).sum(dims)])
    overlap, total = sum_over_ranks(sums.sum(1) if plain else sums)
    dice: Tensor = (2 * overlap + eps) / (total + eps)
    return (1 - dice).mean()


def unit_length(d: Tensor) -> Tensor:
    """Return every image of a batch (N, C, H, W) divided by its Euclidean length.

    Example:
        >>> unit_length(torch.tensor([[[[3.0, 4.0]]]])).tolist()
        [[[[0.6000000238418579, 0.800000011920929]]]]
    """
    length: Tensor = d.flatten(1).norm(dim=1)
    return d / (length.view(-1, *(1,) * (d.dim() - 1)) + 1e-8)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Let BatchNorm use the batch's statistics without adding them to the running ones."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def single_precision(device: str) -> AbstractContextManager[Any]:
    """Switch autocast off on a type of device, where it has it."""
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()


class VAT:
    """Distance of the output on an image to that on the image changed adversarially.

    Miyato et al., https://arxiv.org/abs/1704.03976, in the form of SS-Net: with p = f(x) and a
    random d of length one for each image::

        d <- unit length of grad_d D(f(x + xi d), p),   `steps` times
        L  = D(f(x + eps d), p),   D the Dice distance

    p and the direction carry no gradient. p is computed in the network's mode, dropout and running
    statistics included; the passes on changed images leave the running statistics alone. The
    direction is found in single precision, as its gradient underflows in half.

    Args:
        xi: length of the change that the direction is found with.
        eps: length of the change that counts, over all pixels of an image: what 6 is at 256 px
            is 12 at 512 px.
        steps: of the power iteration.
        plain: take one Dice distance over all classes, without squares, as SS-Net on volumes.
        smooth: summand of its numerator and denominator.
    """

    def __init__(
        self,
        xi: float = 10.0,
        eps: float = 6.0,
        steps: int = 1,
        plain: bool = False,
        smooth: float = 1e-10,
    ) -> None:
        self.xi = xi
        self.eps = eps
        self.steps = steps
        self.distance = functools.partial(soft_dice, eps=smooth, plain=plain)

    def __call__(
        self, predict: Callable[[Tensor], Tensor], x: Tensor, network: nn.Module
    ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            predict: from images to probabilities (N, C, H, W).
            x: images (N, C, H, W).
            network: the module whose running statistics are kept.
        """
        with torch.no_grad():
            p = predict(x)
        with frozen_statistics(network):
            return self.distance(predict(x + self.eps * self.direction(predict, x, p)), p)

    def direction(self, predict: Callable[[Tensor], Tensor], x: Tensor, p: Tensor) -> Tensor:
        """Return the change of length one that moves the output away from p."""
        d = unit_length(torch.rand(x.shape, device=x.device) - 0.5)
        for _ in range(self.steps):
            d.requires_grad_()
            with torch.enable_grad(), single_precision(x.device.type):
                distance = self.distance(predict(x + self.xi * d), p)
            d = unit_length(torch.autograd.grad(distance, d)[0])
        return d
