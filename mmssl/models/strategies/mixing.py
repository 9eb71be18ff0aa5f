"""Pasting one image into another, and its labels with it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from mmssl.utils.resize import as_size, size_like


def box_mask(box: Tensor, size: int | Sequence[int], side: int | None = None) -> Tensor:
    """Return masks (N, 1, h, w) or (N, 1, d, h, w) that are 1 inside each box, on its device.

    A mask of another size than the square or the volume that its box is in is that of the whole on
    torch's nearest grid.

    Args:
        box: left, top, width and height in pixels of a square, (N, 4), or (N, 5) with the side of
            the square behind them; or start, size and volume of a cuboid, each three numbers in
            the order of the axes, (N, 9).
        size: sides of the masks in pixels, or one side for all.
        side: side of the square where the box does not say it; that of the mask by default.

    Raises:
        ValueError: `size` has another number of axes than the boxes.

    Example:
        >>> box_mask(torch.tensor([[1, 0, 2, 1]]), 3)[0, 0].int().tolist()
        [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
        >>> box_mask(torch.tensor([[2, 0, 2, 4, 4]]), 2)[0, 0].int().tolist()
        [[0, 1], [0, 1]]
        >>> box_mask(torch.tensor([[1, 0, 1, 1, 2, 1, 2, 2, 2]]), 2)[0, 0].int().tolist()
        [[[0, 0], [0, 0]], [[0, 1], [0, 1]]]
    """
    starts, extents, wholes = _edges(box, side)
    return cuboid_mask(starts, extents, as_size(size, len(starts)), wholes)


def boxes_at(box: Tensor, images: Tensor, x: Tensor) -> Tensor:
    """Return masks (N, 1, ...) of boxes that were drawn in some images, at the size of x.

    Args:
        box: see `box_mask`.
        images: (N, C, ...).
        x: images or labels, (N, ...) or (N, K, ...).
    """
    return box_mask(box, size_like(x, images.dim() - 2), images.shape[-1])


def cuboid_mask(
    starts: Sequence[Tensor],
    extents: Sequence[Tensor | int],
    size: Sequence[int],
    wholes: Sequence[Tensor | int | None] | None = None,
) -> Tensor:
    """Return masks (N, 1, ...) that are 1 from a start over an extent along every axis.

    Args:
        starts: for each axis (N, 1).
        extents: for each axis a number, or (N, 1).
        size: of the masks.
        wholes: sides of what the starts are in, where those are not `size`.

    Example:
        >>> cuboid_mask([torch.tensor([[1]]), torch.tensor([[0]])], [1, 2], (2, 3))[0, 0].int()
        tensor([[0, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
    """
    lines = []
    for axis, (start, extent, count) in enumerate(zip(starts, extents, size, strict=True)):
        place = torch.arange(count, device=start.device)[None]
        whole = wholes[axis] if wholes else None
        if isinstance(whole, Tensor):
            place = (place * (whole.to(torch.float32) / count)).floor()
        elif whole is not None and whole != count:
            scale = torch.tensor(whole, dtype=torch.float32, device=start.device) / count
            place = (place * scale).floor()
        inside = (place >= start) & (place < start + extent)
        lines.append(inside.view(-1, 1, *(count if i == axis else 1 for i in range(len(size)))))
    return reduce(torch.logical_and, lines).float()


def covering(region: Tensor) -> Tensor:
    """Return masks (N, 1, ...) of the smallest box around each region (N, ...), 0 if it is empty.

    Example:
        >>> covering(torch.tensor([[[0, 1, 0], [1, 0, 0], [0, 0, 0]]]))[0, 0].int().tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    inside = torch.ones_like(region, dtype=torch.float32)
    axes = range(1, region.dim())
    for axis in axes:
        line = region.float().amax([other for other in axes if other != axis], keepdim=True)
        from_start = line.cummax(axis).values
        from_end = line.flip(axis).cummax(axis).values.flip(axis)
        inside = inside * from_start * from_end
    return inside.unsqueeze(1)


def _edges(
    box: Tensor, side: int | None
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor | int | None]]:
    """Return where boxes start, how far they go and how large the whole is, for each axis."""
    columns = box[:, :, None].unbind(1)
    if len(columns) == 9:
        return columns[:3], columns[3:6], columns[6:]
    x, y, w, h, *whole = columns
    return (y, x), (h, w), [*whole, *whole] or [side, side]


def halves(x: Tensor, kind: str = 'unlabelled') -> tuple[Tensor, Tensor]:
    """Return the even and the odd images, which do not depend on the number of processes.

    Args:
        x: images or labels (N, ...).
        kind: `labelled` or `unlabelled`, for the error.

    Raises:
        ValueError: there is only one.

    Example:
        >>> [half.tolist() for half in halves(torch.arange(5))]
        [[0, 2, 4], [1, 3]]
    """
    if len(x) < 2:
        raise ValueError(
            f'Images are pasted into each other, but there is {len(x)} {kind} image '
            f'on a process: make num_{kind} two or more for each.'
        )
    return x[0::2], x[1::2]


def pairs(
    batch: Mapping[str, Any], view: str, students: Iterable[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return for every student the images u (even positions) and their partners (odd ones).

    Raises:
        ValueError: the batch has no such view, or an odd number of unlabelled images.
    """
    images = {name: batch[view][name] for name in students}
    count = len(next(iter(images.values())))
    if count % 2:
        raise ValueError(
            f'The unlabelled images are mixed in pairs, but there are {count} on a '
            'process: make num_unlabelled an even number for each.'
        )
    return {name: halves(x) for name, x in images.items()}


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
        background: images (N, C, ...) or label maps (N, ...).
        patch: the same for as many pictures; fewer are repeated in order.
        mask: (N, 1, ...), 1 where the patch goes.
    """
    patch = repeat_to(patch, len(background))
    mask = mask if background.dim() == mask.dim() else mask.squeeze(1)
    return torch.where(mask > 0, patch, background)
