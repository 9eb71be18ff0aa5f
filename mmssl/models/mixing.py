"""Pasting one image into another, and its labels with it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mask(box: Tensor, size: int) -> Tensor:
    """Return masks (N, 1, size, size) that are 1 inside each box, made on the device.

    Args:
        box: left, top, width and height in pixels, (N, 4).
        size: side of the mask in pixels.

    Example:
        >>> box_mask(torch.tensor([[1, 0, 2, 1]]), 3)[0, 0].int().tolist()
        [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    """
    x, y, w, h = (edge[:, None] for edge in box.unbind(1))
    line = torch.arange(size, device=box.device)
    columns = (line >= x) & (line < x + w)
    rows = (line >= y) & (line < y + h)
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1).float()


def resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a mask (N, 1, H, W) with torch's nearest grid."""
    return mask if mask.shape[-2:] == tuple(size) else F.interpolate(mask, size=tuple(size))


def repeat_to(x: Tensor, count: int) -> Tensor:
    """Return the first `count` of x (N, ...), from the start again where there are fewer.

    Example:
        >>> repeat_to(torch.tensor([1, 2]), 3).tolist()
        [1, 2, 1]
    """
    if len(x) == count:
        return x
    return x.index_select(0, torch.arange(count, device=x.device) % len(x))


def paste(background: Tensor, patch: Tensor, mask: Tensor) -> Tensor:
    """Return `background` outside and `patch` inside the mask.

    Args:
        background: images (N, C, H, W) or label maps (N, H, W).
        patch: the same for as many pictures; fewer are repeated in order.
        mask: (N, 1, H, W), 1 where the patch goes.
    """
    patch = repeat_to(patch, len(background))
    mask = mask if background.dim() == 4 else mask.squeeze(1)
    return torch.where(mask > 0, patch, background)
