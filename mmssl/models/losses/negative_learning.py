"""Negative learning: which class a pixel does not have."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.registry import MODELS
from mmssl.utils.dist import sum_over_ranks


@MODELS.register_module()
class NegativeLearningLoss(nn.Module):
    """Push the strong view away from the class that the weak view finds least likely.

    With probabilities p (weak) and q (strong), a clear strong view counts more::

        a = mean over images and classes of 1 - H_c / ln(H W)
        L = a^2 cross_entropy(1 - q as logits, argmin_c p)

    H_c is the entropy of class c's probabilities over the pixels of an image, normalised to sum 1.
    Source: the FixMatch of SSL4MIS, whose code has a twice.

    Example:
        >>> p = torch.tensor([[[[0.9, 0.2]], [[0.1, 0.8]]]])
        >>> q = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
        >>> round(NegativeLearningLoss()(p, q).item(), 6)  # ln(1 + 1 / e), a is 1
        0.313262
    """

    def forward(self, weak: Tensor, strong: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            weak: probabilities (N, C, H, W), without gradient.
            strong: probabilities (N, C, H, W).
        """
        weak, strong = weak.detach().float(), strong.float()
        rest = F.cross_entropy(1 - strong, weak.argmin(1), reduction='none')
        maps = strong.flatten(2)
        eps, tiny = torch.finfo(maps.dtype).eps, torch.finfo(maps.dtype).tiny
        maps = maps / maps.sum(-1, keepdim=True).clamp(min=tiny)  # of a class that is nowhere
        entropy = -(maps * maps.clamp(eps, 1 - eps).log()).sum(-1)
        clear = 1 - entropy / math.log(maps.shape[-1])
        counts = [clear.new_full((), x.numel()) for x in (clear, rest)]  # made on the device
        sums = sum_over_ranks(torch.stack([clear.sum(), rest.sum(), *counts]))
        a, mean = sums[:2] / sums[2:]
        loss: Tensor = a**2 * mean
        return loss
