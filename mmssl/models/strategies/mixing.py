"""Pasting one image into another, and its labels with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def box_mask(box: Tensor, size: int | Sequence[int], side: int | None = None) -> Tensor:
    """Return masks (N, 1, h, w) that are 1 inside each box, made on the device.

    A mask of another size than the square that its box is in is that of the square on torch's
    nearest grid.

    Args:
        box: left, top, width and height in pixels of a square, (N, 4), or (N, 5) with the side of
            the square behind them.
        size: height and width of the masks in pixels, or their side.
        side: side of the square where the box does not say it; that of the mask by default.

    Example:
        >>> box_mask(torch.tensor([[1, 0, 2, 1]]), 3)[0, 0].int().tolist()
        [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
        >>> box_mask(torch.tensor([[2, 0, 2, 4, 4]]), 2)[0, 0].int().tolist()
        [[0, 1], [0, 1]]
    """
    height, width = (size, size) if isinstance(size, int) else size
    x, y, w, h = (edge[:, None] for edge in box[:, :4].unbind(1))

    def line(count: int) -> Tensor:
        place = torch.arange(count, device=box.device)[None]
        if box.shape[1] == 5:
            scale = box[:, 4:].to(torch.float32) / count
        elif side is None or side == count:
            return place
        else:
            scale = torch.tensor(side, dtype=torch.float32, device=box.device) / count
        return (place * scale).floor()

    rows, columns = line(height), line(width)
    columns = (columns >= x) & (columns < x + w)
    rows = (rows >= y) & (rows < y + h)
    return (rows[:, :, None] & columns[:, None, :]).unsqueeze(1).float()


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
        background: images (N, C, H, W) or label maps (N, H, W).
        patch: the same for as many pictures; fewer are repeated in order.
        mask: (N, 1, H, W), 1 where the patch goes.
    """
    patch = repeat_to(patch, len(background))
    mask = mask if background.dim() == 4 else mask.squeeze(1)
    return torch.where(mask > 0, patch, background)
