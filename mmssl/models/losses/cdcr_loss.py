"""Consensus-Divergence Consistency Regularization of SynFoC, and the plain form it replaces."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.registry import MODELS

EPS = 1e-10


@MODELS.register_module()
class CDCRLoss(nn.Module):
    """Sharpen two networks where they agree, draw them together where they differ.

    With the students' probabilities p^f (foundation, low resolution) and p^c (conventional), p~
    the nearest up-sampling of p^f, and M the pixels at which both choose the same class:

    * consensus: the entropy of each network on M,
    * divergence: the squared distance of the two networks outside M.

    Source: Ma et al., SynFoC, CVPR 2025, https://arxiv.org/abs/2503.16997.

    Args:
        entropy: `code` takes the mean of each network's entropy over its own B x C x H x W and
            halves the sum, as the released code does; `paper` sums both entropies over one
            resolution, the conventional network's, and divides by its size.
    """

    def __init__(self, entropy: str = 'code') -> None:
        super().__init__()
        if entropy not in ('code', 'paper'):
            raise ValueError(f"entropy must be 'code' or 'paper', found {entropy!r}")
        self.entropy = entropy

    def forward(self, foundation: Tensor, conventional: Tensor) -> dict[str, Tensor]:
        """Return the terms `consistent` and `discrepant`, both scalars.

        Args:
            foundation: logits (N, C, h, w).
            conventional: logits (N, C, H, W).
        """
        p_f, p_c = foundation.float().softmax(1), conventional.float().softmax(1)
        up_f = F.interpolate(p_f, size=p_c.shape[-2:], mode='nearest')
        agree = (up_f.argmax(1) == p_c.argmax(1)).unsqueeze(1).to(p_c.dtype)
        p_c = p_c.clamp(EPS, 1)
        if self.entropy == 'code':
            agree_f = F.interpolate(agree, size=p_f.shape[-2:], mode='nearest')
            consistent = (_entropy(p_f.clamp(EPS, 1), agree_f) + _entropy(p_c, agree)) / 2
        else:
            consistent = _entropy(up_f.clamp(EPS, 1), agree) + _entropy(p_c, agree)
        discrepant = ((up_f - p_c) ** 2 * (1 - agree)).mean()
        return {'consistent': consistent, 'discrepant': discrepant}


@MODELS.register_module()
class ConsistencyLoss(nn.Module):
    """Draw two networks together everywhere by the squared distance: the CR row of the paper."""

    def forward(self, foundation: Tensor, conventional: Tensor) -> dict[str, Tensor]:
        """Return the term `discrepant`; the shapes are those of `CDCRLoss.forward`."""
        p_f, p_c = foundation.float().softmax(1), conventional.float().softmax(1)
        up_f = F.interpolate(p_f, size=p_c.shape[-2:], mode='nearest')
        return {'discrepant': ((up_f - p_c) ** 2).mean()}


def _entropy(p: Tensor, mask: Tensor) -> Tensor:
    return -(p * p.log() * mask).mean()
