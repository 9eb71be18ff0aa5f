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
        activation: `softmax` over exclusive classes, or `sigmoid` for each of several parts, which
            then agree or differ one by one and have the entropy of a yes or no.
    """

    def __init__(self, entropy: str = 'code', activation: str = 'softmax') -> None:
        super().__init__()
        if entropy not in ('code', 'paper'):
            raise ValueError(f"entropy must be 'code' or 'paper', found {entropy!r}")
        if activation not in ('softmax', 'sigmoid'):
            raise ValueError(f"activation must be 'softmax' or 'sigmoid', found {activation!r}")
        self.entropy = entropy
        self.sigmoid = activation == 'sigmoid'

    def forward(self, foundation: Tensor, conventional: Tensor) -> dict[str, Tensor]:
        """Return the terms `consistent` and `discrepant`, both scalars.

        Args:
            foundation: logits (N, C, h, w).
            conventional: logits (N, C, H, W).
        """
        p_f, p_c = (self._prob(x.float()) for x in (foundation, conventional))
        up_f = F.interpolate(p_f, size=p_c.shape[2:], mode='nearest')
        agree = self._agree(up_f, p_c).to(p_c.dtype)
        if self.entropy == 'code':
            agree_f = F.interpolate(agree, size=p_f.shape[2:], mode='nearest')
            consistent = (self._entropy(p_f, agree_f) + self._entropy(p_c, agree)) / 2
        else:
            consistent = self._entropy(up_f, agree) + self._entropy(p_c, agree)
        discrepant = ((up_f - p_c.clamp(EPS, 1)) ** 2 * (1 - agree)).mean()
        return {'consistent': consistent, 'discrepant': discrepant}

    def _prob(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)

    def _agree(self, a: Tensor, b: Tensor) -> Tensor:
        if self.sigmoid:
            return (a >= 0.5) == (b >= 0.5)
        return (a.argmax(1) == b.argmax(1)).unsqueeze(1)

    def _entropy(self, p: Tensor, mask: Tensor) -> Tensor:
        p = p.clamp(EPS, 1)
        if self.sigmoid:
            q = (1 - p).clamp(EPS, 1)
            return -((p * p.log() + q * q.log()) * mask).mean()
        return -(p * p.log() * mask).mean()


@MODELS.register_module()
class ConsistencyLoss(nn.Module):
    """Draw two networks together everywhere by the squared distance: the CR row of the paper."""

    sigmoid = False

    def forward(self, foundation: Tensor, conventional: Tensor) -> dict[str, Tensor]:
        """Return the term `discrepant`; the shapes are those of `CDCRLoss.forward`."""
        p_f, p_c = foundation.float().softmax(1), conventional.float().softmax(1)
        up_f = F.interpolate(p_f, size=p_c.shape[2:], mode='nearest')
        return {'discrepant': ((up_f - p_c) ** 2).mean()}
