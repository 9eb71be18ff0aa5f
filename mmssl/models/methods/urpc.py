"""URPC: predictions at several scales follow their mean where they agree with it."""

import math
from typing import Any

import torch
from torch import Tensor

from mmssl.models.base.several_heads import SeveralHeads
from mmssl.models.base.terms import Logits, Losses
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.dist import sum_over_ranks


@MODELS.register_module()
class URPC(SeveralHeads):
    """Uncertainty rectified pyramid consistency (MICCAI 2021, Medical Image Analysis 2022).

    Luo et al., Efficient Semi-Supervised Gross Target Volume of Nasopharyngeal Carcinoma
    Segmentation via Uncertainty Rectified Pyramid Consistency, https://arxiv.org/abs/2012.07042,
    as in the 2D code of SSL4MIS.

    One student whose K heads look at several scales; p_k are their probabilities at the image's
    size. With the mean `pbar` of the p_k, on u_w::

        D_k = sum_c pbar (log pbar - log p_k),   w_k = exp(-D_k)
        C_k = mean(w_k (pbar - p_k)^2) / (mean(w_k) + 1e-8) + mean(D_k)
        L   = mean_k L_x(p_k) + weight(t) mean_k C_k

    Gradients flow into pbar too. The heads, and the noise on their maps, are `UNetPyramidHead`'s,
    or a segmentor's auxiliary heads. The first head predicts. No teacher.
    """

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return `pyramid_<student>`."""
        return {f'pyramid_{name}': self.consistency(z['u_w']) for name, z in logits.items()}

    def consistency(self, heads: list[Tensor]) -> Tensor:
        """Return the mean of C_k of logits (N, C, H, W), one for each scale."""
        log_p = torch.stack([self.label_space.log_prob(logits) for logits in heads])
        log_mean = log_p.logsumexp(0) - math.log(len(heads))
        distance = (log_mean.exp() * (log_mean - log_p)).sum(2, keepdim=True)  # D_k
        weight = (-distance).exp()
        square = (log_mean.exp() - log_p.exp()) ** 2
        dims = tuple(range(1, square.dim()))
        means = [(weight * square).mean(dims), weight.mean(dims)]
        means.append(torch.ones_like(means[0]))  # counts the ranks
        error, total, ranks = sum_over_ranks(torch.stack(means))
        rectified: Tensor = (error / ranks) / (total / ranks + 1e-8)
        return rectified.mean() + distance.mean()
