"""A 1 x 1 convolution that predicts, and two sets of learnt prototypes beside it."""

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import FCNHead
from torch import Tensor, nn

from mmssl.registry import MODELS


def cosine_scores(features: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """Return `cos(f, mu_c) / temperature` of features (N, D, ...) and prototypes (C, D).

    Returns:
        Scores (N, C, ...).

    Example:
        >>> f = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        >>> cosine_scores(f, torch.tensor([[1.0, 0.0], [0.0, 2.0]]), 0.5).flatten().tolist()
        [1.2000000476837158, 1.600000023841858]
    """
    f, mu = F.normalize(features.float(), dim=1), F.normalize(prototypes.float(), dim=1)
    return torch.einsum('nd...,cd->nc...', f, mu) / temperature


@MODELS.register_module()
class PrototypeHead(FCNHead):
    """`FCNHead` with two prototypes mu1, mu2 of each class for `BCMDA`.

    The convolution predicts. The prototypes start as 0.01 N(0, 1) and learn with the method's
    loss alone.

    Args:
        temperature: divides the cosines.
        kwargs: those of `FCNHead`.
    """

    def __init__(self, *, temperature: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = temperature
        shape = self.out_channels, self.channels
        self.mu1 = nn.Parameter(0.01 * torch.randn(shape))
        self.mu2 = nn.Parameter(0.01 * torch.randn(shape))

    def prototype_scores(self, features: Tensor, weights: tuple[float, float]) -> Tensor:
        """Return the scores of a mixture of the prototypes, (N, C, ...).

        Args:
            features: what the convolution is given, (N, D, ...).
            weights: of mu1 and mu2.
        """
        mixed = weights[0] * self.mu1 + weights[1] * self.mu2
        return cosine_scores(features, mixed, self.temperature)
