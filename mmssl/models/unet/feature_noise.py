"""Noise on feature maps, as cross-consistency training perturbs them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def drop_features(x: Tensor, rate: float = 0.5) -> Tensor:
    """Return a map with single values dropped at random, the rest scaled up."""
    return F.dropout(x, rate)


def drop_channels(x: Tensor, rate: float = 0.5) -> Tensor:
    """Return a map (N, C, ...) with whole channels dropped at random, the rest scaled up."""
    return (F.dropout1d, F.dropout2d, F.dropout3d)[x.dim() - 3](x, rate)


def keep_complementary(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return maps (2 N, C, ...) of which the first and the second half keep other channels.

    For each pair of images, i and N + i, every channel is doubled in one of the two and 0 in the
    other; half of the pairs, drawn at random, keep all as they are. Maps of one width share the
    draw. Source: Yang et al., UniMatch V2, https://arxiv.org/abs/2410.10777, in its code.

    Raises:
        ValueError: the images are no pairs.

    Example:
        >>> first, second = keep_complementary([torch.ones(4, 5, 1, 1)])[0].chunk(2)
        >>> (first + second == 2).all().item(), (first == 1).all((1, 2, 3)).sum().item()
        (True, 1)
    """
    n = len(maps[0]) // 2
    if len(maps[0]) % 2:
        raise ValueError(f'complementary channels need pairs of images, found {len(maps[0])}')
    device = maps[0].device
    widths = dict.fromkeys(x.shape[1] for x in maps)
    factors = {c: 2 * torch.randint(2, (n, c), device=device) for c in widths}
    whole = torch.randperm(n, device=device)[: n // 2]
    kept = []
    for x in maps:
        first = factors[x.shape[1]].index_fill(0, whole, 1)
        both = torch.cat([first, 2 - first]).to(x.dtype)
        kept.append(x * both.reshape(*both.shape, *[1] * (x.dim() - 2)))
    return kept


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


def logits_of_changed_maps(
    segmentor: Any, x: Tensor, change: Callable[[Sequence[Tensor]], Sequence[Tensor]]
) -> Tensor:
    """Return the logits of images after a change of the encoder's feature maps.

    They are what the decode head sees, or where the backbone holds a decoder of its own, such as
    `UNet`, what it hands to that (`encode` and `decode`).

    Args:
        segmentor: an mmsegmentation segmentor.
        x: images (N, C, H, W).
        change: gives maps in the place of maps.
    """
    backbone = segmentor.backbone
    if hasattr(backbone, 'encode'):
        features = backbone.decode(change(backbone.encode(x)))
    else:
        features = change(segmentor.extract_feat(x))
    logits: Tensor = segmentor.decode_head(features)
    return logits
