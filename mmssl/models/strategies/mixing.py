"""Pasting one image into another, and its labels with it."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmssl.structures import Batch


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


def box_side(batch: Mapping, images: Tensor, key: str = 'box') -> int:
    """Return the side of the square in whose pixels boxes are; that of the images by default.

    Example:
        >>> images = torch.zeros(1, 1, 4, 4)
        >>> box_side({'box_side': 8}, images), box_side({}, images)
        (8, 4)
    """
    return batch.get(f'{key}_side', images.shape[-1])


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


def pairs(batch: Mapping, view: str, students: Iterable[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return for every student the images u (even positions) and their partners (odd ones).

    Raises:
        ValueError: the batch has no such view, or an odd number of unlabelled images.
    """
    images = {name: Batch(batch)[view][name] for name in students}
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
