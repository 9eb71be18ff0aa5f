"""Bring tensors to another size: the grids that the published codes use."""

from collections.abc import Callable, Iterator, Sequence

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


def best_class(scores: Tensor) -> Tensor:
    """Return the class of the highest score, uint8 (N, ...), of class scores (N, C, ...).

    Piece by piece, since arg-max makes a number of eight bytes of each voxel.

    Example:
        >>> best_class(torch.tensor([[[1.0, 2.0, 0.0], [0.0, 3.0, 5.0]]])).tolist()
        [[0, 1, 1]]
    """
    found = scores.new_empty((len(scores), *scores.shape[2:]), dtype=torch.uint8)
    for piece, out in zip(scores.split(64, 2), found.split(64, 1), strict=True):
        out.copy_(piece.argmax(1))
    return found


def classes_at(scores: Tensor, size: Sequence[int]) -> Tensor:
    """Return class ids, uint8 (N, *size), of class scores (N, C, ...) at another size.

    Of a slice the classes are brought there, on the grid of `nearest_index` as the published codes
    do. Of a volume the probabilities are, linearly, and the highest counts.
    """
    if len(size) < 3 or tuple(scores.shape[2:]) == tuple(size):
        return resize_nearest(best_class(scores), size)
    found = scores.new_empty((len(scores), *size), dtype=torch.uint8)
    for planes, prob in planes_at(scores, size, lambda some: some.softmax(1)):
        found[:, planes] = best_class(prob)
    return found


def planes_at(
    values: Tensor,
    size: Sequence[int],
    first: Callable[[Tensor], Tensor] = lambda some: some,
    depth: int = 16,
) -> Iterator[tuple[slice, Tensor]]:
    """Resize a volume as `resize_linear`, a few planes at a time, so that memory is bounded.

    Args:
        values: (N, C, d, h, w).
        size: of the result, (D, H, W).
        first: what is made of the values before they are resized.
        depth: planes of the result at a time.

    Yields:
        Which planes of the result, and their values (N, C, <= depth, H, W).
    """
    count = values.shape[2]
    place = (torch.arange(size[0], dtype=torch.float64) + 0.5) * count / size[0] - 0.5
    place = place.clamp(0, count - 1)
    below = place.floor().long()
    for start in range(0, size[0], depth):
        planes = slice(start, min(start + depth, size[0]))
        low, high = int(below[planes][0]), min(int(below[planes][-1]) + 1, count - 1)
        some = first(values[:, :, low : high + 1])
        at = below[planes].to(values.device) - low
        share = (place - below)[planes].to(some).view(-1, 1, 1)
        after = (at + 1).clamp(max=high - low)
        mixed = some.index_select(2, at) * (1 - share) + some.index_select(2, after) * share
        flat = mixed.transpose(1, 2).flatten(0, 1)  # a plane is an image
        flat = resize_linear(flat, size[1:])
        yield planes, flat.unflatten(0, (len(values), -1)).transpose(1, 2)
