"""Coarse logits that travel with a network's main ones, and the loss of all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmssl.registry import MODELS

_COARSE = 'coarse_logits'


def with_coarse(logits: Tensor, coarse: Sequence[Tensor]) -> Tensor:
    """Return logits (N, C, ...) with those of the network's coarser maps beside them.

    Whoever compares or resizes the main ones never sees them; `DeepSupervisionLoss` asks for them.

    Args:
        logits: the main ones.
        coarse: (N, C, ...) each at a size of its own, largest first.
    """
    setattr(logits, _COARSE, tuple(coarse))
    return logits


def coarse_of(logits: Tensor) -> tuple[Tensor, ...]:
    """Return the logits of coarser maps that `with_coarse` put beside these; none as a rule."""
    coarse: tuple[Tensor, ...] = getattr(logits, _COARSE, ())
    return coarse


def split_coarse(whole: Tensor, resized: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Return the parts of resized logits, each with its part of what is beside the whole ones.

    Example:
        >>> whole = with_coarse(torch.zeros(3, 2, 4, 4), [torch.ones(3, 2, 2, 2)])
        >>> a, b = split_coarse(whole, whole, [1, 2])
        >>> len(b), coarse_of(b)[0].shape
        (2, torch.Size([2, 2, 2, 2]))
    """
    parts = list(torch.split(resized, list(counts)))
    coarse = [torch.split(z, list(counts)) for z in coarse_of(whole)]
    if coarse:
        for part, beside in zip(parts, zip(*coarse, strict=True), strict=True):
            with_coarse(part, beside)
    return parts


def join_coarse(parts: Sequence[Tensor]) -> Tensor:
    """Return logits of several batches as those of one, and so what is beside them.

    Example:
        >>> z = with_coarse(torch.zeros(1, 2, 4, 4), [torch.ones(1, 2, 2, 2)])
        >>> both = join_coarse([z, z])
        >>> len(both), coarse_of(both)[0].shape
        (2, torch.Size([2, 2, 2, 2]))
    """
    whole = torch.cat(list(parts))
    coarse = [torch.cat(beside) for beside in zip(*map(coarse_of, parts), strict=True)]
    return with_coarse(whole, coarse) if coarse else whole


def centre_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return the last axes at a size on the grid of voxel centres, each from the nearest one.

    Example:
        >>> centre_nearest(torch.arange(6), [3]).tolist()
        [1, 3, 5]
    """
    first = x.dim() - len(size)
    for axis, n in enumerate(size, first):
        side = x.shape[axis]
        if side != n:
            centres = (torch.arange(n, device=x.device, dtype=torch.float64) + 0.5) * (side / n)
            x = x.index_select(axis, centres.long().clamp(max=side - 1))
    return x


@MODELS.register_module()
class DeepSupervisionLoss(nn.Module):
    """A loss over the logits of several resolutions, as nnU-Net weighs them.

    `sum_k w_k L(z_k, y_k)`, with w_k proportional to 2^-k and their sum 1; y_k is the label at the
    size of z_k, from the nearest voxel, and so is the mask. `SemiSegmentor` puts it around the loss
    of the method where a student has coarse logits (`MonaiNetwork`), so that these learn wherever
    that loss is asked. Source: Isensee et al., nnU-Net, https://arxiv.org/abs/1809.10486.

    Args:
        loss: of logits, target and mask.

    Example:
        >>> loss = DeepSupervisionLoss(lambda z, y, mask=None: (z[:, 0] - y).abs().mean())
        >>> z, y = torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4)
        >>> loss(with_coarse(z, [torch.full((1, 1, 2, 2), 4.0)]), y).item()  # (2 * 1 + 4) / 3
        2.0
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: scores (N, C, ...), with or without coarse ones beside them.
            target: class ids (N, ...), or membership (N, C, ...).
            mask: 1 where a pixel counts, else 0, as the loss takes it; all by default.
        """
        total: Tensor = self._at(logits, target, mask)
        weight = norm = 1.0
        for coarse in coarse_of(logits):
            weight /= 2
            norm += weight
            size = coarse.shape[2:]
            small = None if mask is None else centre_nearest(mask, size)
            total = total + weight * self._at(coarse, centre_nearest(target, size), small)
        return total / norm

    def _at(self, logits: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        value: Tensor = self.loss(logits, target, *(() if mask is None else (mask,)))
        return value
