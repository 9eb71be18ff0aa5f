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


LINEAR = {1: 'linear', 2: 'bilinear', 3: 'trilinear'}
"""What torch calls linear interpolation over a number of axes."""


def as_size(side: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return the size of so many axes that one side, or a number for each axis, stands for.

    Raises:
        ValueError: there are numbers for another count of axes.

    Example:
        >>> as_size(8, 3), as_size((4, 6), 2)
        ((8, 8, 8), (4, 6))
    """
    size = (side,) * axes if isinstance(side, int) else tuple(side)
    if len(size) != axes:
        raise ValueError(
            f'The size {list(size)} is for {len(size)} axes, but the images have {axes}: give one '
            'number for all, or one for each axis.'
        )
    return size


def resize_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize the last axes, one for each number of `size`, on the grid of `nearest_index`.

    Args:
        x: tensor (..., H, W) or (..., D, H, W) of any type.
        size: the output's in pixels.
    """
    first = x.dim() - len(size)
    for axis, side in enumerate(size, first):
        if x.shape[axis] != side:
            x = x.index_select(axis, nearest_index(x.shape[axis], side, x.device))
    return x


def resize_linear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, ...) linearly in all axes behind the second, without aligned corners.

    Over two axes this is bilinear, over three trilinear; nothing is smoothed beforehand.
    """
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode=LINEAR[len(size)], align_corners=False)


def resize_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a mask (N, 1, ...) with torch's nearest grid."""
    return mask if mask.shape[2:] == tuple(size) else F.interpolate(mask, size=list(size))


def size_like(x: Tensor, axes: int) -> tuple[int, ...]:
    """Return the size of images (N, C, ...) or labels (N, ...) along so many spatial axes.

    Example:
        >>> size_like(torch.zeros(2, 4, 5, 6), 3), size_like(torch.zeros(2, 4, 5, 6), 2)
        ((4, 5, 6), (5, 6))
    """
    return tuple(x.shape[x.dim() - axes :])


def fit_mask(mask: Tensor, label: Tensor) -> Tensor:
    """Bring a mask (1, 1, ...) to the shape of a label (N, ...), or of one of parts (N, K, ...).

    Example:
        >>> fit_mask(torch.ones(1, 1, 4, 4), torch.zeros(3, 2, 2)).shape
        torch.Size([3, 2, 2])
    """
    mask = resize_mask(mask, size_like(label, mask.dim() - 2))
    return (mask if label.dim() == mask.dim() else mask[:, 0]).expand(label.shape)
