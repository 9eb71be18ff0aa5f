"""Bring tensors to another size: the grids that the published codes use."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def nearest_index(n_in: int, n_out: int, device: torch.device | str | None = None) -> Tensor:
    """Return the source index of each output pixel on the corner-aligned nearest grid.

    Output `i` reads `i * (n_in - 1) / (n_out - 1)`, rounded half up, as
    `scipy.ndimage.zoom(order=0)` does, but for its last row and column: for some sizes (14 to 384,
    99 to 96; one pair in 37) rounding takes scipy out of the image there, and it returns 0 in
    place of the last pixel. Not the grid of `torch.nn.functional.interpolate(mode='nearest')`.

    Example:
        >>> nearest_index(8, 6).tolist()
        [0, 1, 3, 4, 6, 7]
        >>> nearest_index(16, 4).tolist()
        [0, 5, 10, 15]
    """
    if n_out == 1:
        return torch.zeros(1, dtype=torch.long, device=device)
    position = torch.arange(n_out, dtype=torch.float64, device=device) * (n_in - 1) / (n_out - 1)
    return torch.floor(position + 0.5).long()


def resize_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize the last two axes on the grid of `nearest_index`.

    Args:
        x: tensor (..., H, W) of any type.
        size: output height and width in pixels.
    """
    height, width = x.shape[-2:]
    if (height, width) == tuple(size):
        return x
    rows = nearest_index(height, size[0], x.device)
    columns = nearest_index(width, size[1], x.device)
    return x.index_select(-2, rows).index_select(-1, columns)


def resize_bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize the last two axes bilinearly (corners not aligned, no antialiasing)."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a mask (N, 1, H, W) with torch's nearest grid."""
    return mask if mask.shape[-2:] == tuple(size) else F.interpolate(mask, size=list(size))


def fit_mask(mask: Tensor, label: Tensor) -> Tensor:
    """Bring a mask (1, 1, S, S) to the shape of a label (N, H, W) or (N, K, H, W).

    Example:
        >>> fit_mask(torch.ones(1, 1, 4, 4), torch.zeros(3, 2, 2)).shape
        torch.Size([3, 2, 2])
    """
    mask = resize_mask(mask, label.shape[-2:])
    return (mask if label.dim() == 4 else mask[:, 0]).expand(label.shape)
