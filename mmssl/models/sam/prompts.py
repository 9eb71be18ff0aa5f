"""Prompts for a SAM, made of masks on the masks' device: points and boxes.

Nothing here loops over pixels, reads a value back to the host or needs a mask that is not empty.
Leading dimensions are free: every picture (H, W) is treated by itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 2**24
"""Numbers that the distance transform holds at a time (64 MiB)."""

UNASKED = -1e4
"""Logit of a part that no SAM was asked for."""


def distance_transform(masks: Tensor) -> Tensor:
    """Return each pixel's Euclidean distance to the nearest pixel outside its mask, in pixels.

    It is exact: distances along the columns first, then the smallest sum of squares along each
    row, in pieces of at most `CHUNK` numbers (at least one column). A mask without anything
    outside, for which no such distance exists, gets the distance to the nearest pixel around the
    picture.

    Args:
        masks: (..., H, W) bool.

    Returns:
        (..., H, W) float32, zero outside the mask.

    Example:
        >>> distance_transform(torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool())[1].tolist()
        [1.0, 1.4142135381698608, 2.2360680103302, 1.4142135381698608, 1.0]
    """
    height, width = masks.shape[-2:]
    far = height + width
    y = torch.arange(height, device=masks.device)[:, None]
    x = torch.arange(width, device=masks.device)
    above = torch.where(masks, -far, y).cummax(-2).values
    below = torch.where(masks, 2 * far, y).flip(-2).cummin(-2).values.flip(-2)
    along = torch.minimum(y - above, below - y).clamp(max=far).float()[..., None, :] ** 2
    step = max(1, CHUNK // max(1, masks.numel()))
    columns = [(along + (part[:, None] - x).float() ** 2).amin(-1) for part in x.split(step)]
    distance = torch.cat(columns, -1).sqrt()
    edge = torch.minimum(torch.minimum(y + 1, height - y), torch.minimum(x + 1, width - x))
    return torch.where(masks.all(-1).all(-1)[..., None, None], edge.float(), distance)


def optimal_points(
    masks: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return the innermost pixel of each mask: the maximum of its distance transform.

    One of several such pixels is drawn.

    Args:
        masks: (..., H, W) bool.
        generator: of the random numbers, on the masks' device; None for the global one.

    Returns:
        x and y (..., 2) in float pixels, zero where the mask is empty; and whether there is a
        pixel (...,).

    Example:
        >>> optimal_points(torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]).bool())
        (tensor([2., 1.]), tensor(True))
    """
    distance = distance_transform(masks)
    return random_points(masks & (distance == distance.amax((-2, -1), keepdim=True)), generator)


def random_points(masks: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Return a pixel of each mask, all alike likely; see `optimal_points`.

    Example:
        >>> random_points(torch.tensor([[[0, 0], [0, 1]], [[0, 0], [0, 0]]]).bool())
        (tensor([[1., 1.],
                [0., 0.]]), tensor([ True, False]))
    """
    width = masks.shape[-1]
    noise = torch.rand(masks.shape, generator=generator, device=masks.device)
    flat = masks.flatten(-2)
    place = torch.where(flat, noise.flatten(-2), -1.0).argmax(-1)
    found = flat.any(-1)
    xy = torch.stack([place % width, place // width], -1)
    return torch.where(found[..., None], xy, 0).float(), found


def random_pixels(masks: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return some pixels of each mask, no pixel twice, all alike likely.

    Args:
        masks: (..., H, W) bool.
        count: P. A mask of fewer pixels gives all it has.

    Returns:
        x and y (..., P, 2) in float pixels, and whether there is such a pixel (..., P).

    Example:
        >>> random_pixels(torch.tensor([[0, 0, 0], [0, 1, 0]]).bool(), 2)
        (tensor([[1., 1.],
                [0., 0.]]), tensor([ True, False]))
    """
    noise = torch.rand(masks.shape, device=masks.device)
    drawn = torch.where(masks, noise, -1.0).flatten(-2).topk(count)
    return _from_places(drawn.indices, drawn.values >= 0, masks.shape[-1])


def spread_pixels(masks: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return some pixels of each mask, at equal steps in the order of rows; see `random_pixels`.

    Example:
        >>> spread_pixels(torch.tensor([[1, 1, 1], [1, 1, 1]]).bool(), 3)[0].tolist()
        [[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]
        >>> spread_pixels(torch.tensor([[0, 0, 0], [0, 1, 0]]).bool(), 2)
        (tensor([[1., 1.],
                [0., 0.]]), tensor([ True, False]))
    """
    rank = masks.flatten(-2).cumsum(-1)
    total, place = rank[..., -1:], torch.arange(count, device=masks.device)
    wanted = torch.where(total < count, place, (2 * place + 1) * total // (2 * count))
    found = place < total
    places = (rank[..., None, :] <= wanted[..., None]).sum(-1)
    return _from_places(places, found, masks.shape[-1])


def _from_places(places: Tensor, found: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return x and y of numbered pixels, zero where there is none, and where there is one."""
    xy = torch.stack([places % width, places // width], -1)
    return torch.where(found[..., None], xy, 0).float(), found


def mask_boxes(masks: Tensor, margin: int | Tensor = 0) -> tuple[Tensor, Tensor]:
    """Return the box around each mask, as MedSAM draws it.

    Its corners are the first and the last pixels inside, moved apart by the margin and clipped
    to [0, W] and [0, H].

    Args:
        masks: (..., H, W) bool.
        margin: pixels that each side moves out, a number or one for each mask (...,).

    Returns:
        x1, y1, x2, y2 (..., 4) in float pixels, zero where the mask is empty; and whether there
        is a box (...,).

    Example:
        >>> mask_boxes(torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0]]).bool())[0].tolist()
        [1.0, 1.0, 2.0, 1.0]
        >>> mask_boxes(torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0]]).bool(), 2)[0].tolist()
        [0.0, 0.0, 4.0, 2.0]
    """
    height, width = masks.shape[-2:]
    ends = []
    for line in (masks.any(-2), masks.any(-1)):
        place = torch.arange(line.shape[-1], device=masks.device)
        ends.append(
            (
                torch.where(line, place, line.shape[-1]).amin(-1),
                torch.where(line, place, -1).amax(-1),
            )
        )
    (x1, x2), (y1, y2) = ends
    found = masks.any(-1).any(-1)
    boxes = torch.stack([x1 - margin, y1 - margin, x2 + margin, y2 + margin], -1).float()
    return torch.where(found[..., None], _clip(boxes, (height, width)), 0), found


def scale_boxes(
    boxes: Tensor, size: Sequence[int], new_size: Sequence[int], margin: int = 0
) -> Tensor:
    """Take boxes from a picture to a larger or smaller form of it.

    The result is the box around the resized mask: its last pixel is the last one that the old
    last pixel becomes.

    Args:
        boxes: x1, y1, x2, y2 (..., 4), first and last pixels, as from `mask_boxes`.
        size: height and width of the picture.
        new_size: those of its other form.
        margin: pixels of the new form that each side moves out; clipped to it.

    Example:
        >>> scale_boxes(torch.tensor([0., 1., 3., 1.]), (2, 4), (4, 16)).tolist()
        [0.0, 2.0, 15.0, 3.0]
    """
    first, last = boxes[..., :2], boxes[..., 2:] + 1
    corners = [
        _stretch(first, size, new_size) - margin,
        _stretch(last, size, new_size) - 1 + margin,
    ]
    return _clip(torch.cat(corners, -1), new_size)


def scale_points(xy: Tensor, size: Sequence[int], new_size: Sequence[int]) -> Tensor:
    """Take points (..., 2) to another form of their picture, centres of pixels to centres.

    Example:
        >>> scale_points(torch.tensor([[0., 0.], [3., 1.]]), (2, 4), (2, 12)).tolist()
        [[1.0, 0.0], [10.0, 1.0]]
    """
    return _stretch(xy + 0.5, size, new_size) - 0.5


def _stretch(xy: Tensor, size: Sequence[int], new_size: Sequence[int]) -> Tensor:
    """Return x and y (..., 2) times how much wider and higher a picture becomes.

    The factors stay numbers: a tensor made of them would have to be copied to the device.
    """
    x, y = xy.unbind(-1)
    return torch.stack([x * (new_size[1] / size[1]), y * (new_size[0] / size[0])], -1)


def _clip(boxes: Tensor, size: Sequence[int]) -> Tensor:
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], -1).flatten(-2)
