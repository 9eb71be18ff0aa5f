"""Clicks for a SAM: each in the error between its last mask and the mask that is wanted."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.sam.prompted_sam import PromptedSAM
from mmssl.models.sam.prompts import distance_transform, random_points, scale_points
from mmssl.utils.resize import resize_linear


def next_click(wanted: Tensor, given: Tensor, inner: bool = False) -> tuple[Tensor, Tensor]:
    """Return a click on a wrong pixel of each mask, all wrong pixels alike likely.

    Source: the code released with SemiSAM, https://arxiv.org/abs/2312.06316.

    Args:
        wanted: (..., H, W) bool.
        given: (..., H, W) bool.
        inner: click far inside, as RITM does: of missing and excess pixels take those that reach
            deeper, and of these the ones deeper than half of the deepest. Beyond the picture
            nothing is wrong.

    Returns:
        x and y (..., 2) in float pixels, and labels (...,) long: 1 where the pixel is missing,
        0 where it is in excess, -1 where nothing is wrong.

    Example:
        >>> wanted, given = torch.tensor([[[1, 1, 0]], [[0, 0, 1]], [[1, 0, 0]]]).bool(), \
            torch.tensor([[[1, 0, 0]], [[1, 0, 1]], [[1, 0, 0]]]).bool()
        >>> next_click(wanted, given)
        (tensor([[1., 0.],
                [0., 0.],
                [0., 0.]]), tensor([ 1,  0, -1]))
    """
    missing, excess = wanted & ~given, given & ~wanted
    wrong = missing | excess
    if inner:
        depths = [_depth(mask) for mask in (missing, excess)]
        deepest = [depth.amax((-2, -1), keepdim=True) for depth in depths]
        depth = torch.where(deepest[0] > deepest[1], depths[0], depths[1])
        wrong = depth > torch.maximum(deepest[0], deepest[1]) / 2
    xy, found = random_points(wrong)
    place = (xy[..., 1] * wanted.shape[-1] + xy[..., 0]).long()
    label = missing.flatten(-2).gather(-1, place[..., None])[..., 0].long()
    return xy, torch.where(found, label, -1)


def _depth(mask: Tensor) -> Tensor:
    """Return the distance to the nearest pixel outside; so is everything around the picture."""
    return distance_transform(F.pad(mask, (1, 1, 1, 1)))[..., 1:-1, 1:-1]


def click_masks(
    sam: PromptedSAM,
    embedding: Tensor,
    wanted: Tensor,
    clicks: int = 10,
    threshold: float = 0.5,
    feedback: bool = True,
) -> Tensor:
    """Return the logits of a SAM after a number of clicks towards wanted masks.

    The first two clicks go far inside. Once nothing is wrong, the mask stays. The code of SemiSAM
    shows the decoder the newest click and the last mask, at first an empty one.

    Args:
        sam: `PromptedSAM`.
        embedding: of N images.
        wanted: K masks of each image, (N, K, H, W) bool.
        clicks: their number.
        threshold: logit above which a pixel is in the mask.
        feedback: show the decoder the newest click and the last mask's logits; otherwise all
            clicks so far and no mask.

    Returns:
        (N, K, H, W).
    """
    size = wanted.shape[-2:]
    seen: list[tuple[Tensor, Tensor]] = []
    n, k = wanted.shape[:2]
    low = embedding.new_zeros(n, k, *(4 * side for side in embedding.shape[-2:]))
    given = torch.zeros_like(wanted)
    for i in range(clicks):
        xy, label = next_click(wanted, given, inner=i < 2)
        xy = scale_points(xy, size, (sam.img_size,) * 2)
        seen = [*([] if feedback else seen), (xy, label)]
        points, labels = (torch.stack(part, 2) for part in zip(*seen, strict=True))
        found = sam.masks(embedding, (points, labels), masks=low if feedback else None)
        low = torch.where((label < 0)[..., None, None], low, found.to(low.dtype))
        given = resize_linear(low.float(), size) > threshold
    return resize_linear(low.float(), size)
