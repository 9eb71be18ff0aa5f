"""Noise on feature maps, as cross-consistency training perturbs them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def drop_features(x: Tensor, rate: float = 0.5) -> Tensor:
    """Return a map with single values dropped at random, the rest scaled up."""
    return F.dropout(x, rate)


def drop_channels(x: Tensor, rate: float = 0.5) -> Tensor:
    """Return a map (N, C, ...) with whole channels dropped at random, the rest scaled up."""
    return (F.dropout1d, F.dropout2d, F.dropout3d)[x.dim() - 3](x, rate)


def drop_attended(x: Tensor, low: float = 0.7, high: float = 0.9) -> Tensor:
    """Return a map (N, C, ...) without its most active pixels.

    With a the mean over the channels, the pixels of an image stay where `a < u max a`; u is drawn
    once from [low, high]. Source: Ouali et al., CCT, https://arxiv.org/abs/2003.09005, in the code
    of SSL4MIS.

    Example:
        >>> drop_attended(torch.tensor([[[[1.0, 3.0, 4.0]]]]), 0.8, 0.8).tolist()
        [[[[1.0, 3.0, 0.0]]]]
    """
    attention = x.mean(1, keepdim=True)
    share = torch.empty((), device=x.device).uniform_(low, high)
    largest = attention.amax(tuple(range(1, x.dim())), keepdim=True)
    return x * (attention < share * largest).to(x.dtype)


def scale_randomly(x: Tensor, span: float = 0.3) -> Tensor:
    """Return `x (1 + n)`, n uniform in [-span, span] and the same for all images of a process."""
    return x + x * torch.empty(x.shape[1:], device=x.device).uniform_(-span, span).to(x.dtype)


NOISE: dict[str, Callable[[Tensor], Tensor]] = {
    'dropout': drop_features,
    'attention': drop_attended,
    'scale': scale_randomly,
}
"""Kinds of noise by the names that configs use."""
