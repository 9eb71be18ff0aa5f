"""Connected components: the largest one of every class or mask, on the host and on the device.

On the CPU SciPy labels; elsewhere nothing loops over pixels or reads a value back to the host.
Both keep the same pixels. Leading dimensions are free: every picture (H, W), or volume (D, H, W)
where `axes` is 3, is treated by itself.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor


def largest_components(label: Tensor, num_classes: int | None = None, axes: int = 2) -> Tensor:
    """Keep the largest connected component of every class in every image.

    What is cut off becomes background. Of two components of one size the first one in reading
    order stays. Background (class 0) has no components of its own.

    On the CPU it is SciPy's labelling, about a millisecond for each class of a 256 px image;
    elsewhere `largest_component_masks`, which stays on the device. No gradient passes.

    Args:
        label: class ids (N, ...), or membership of parts that may overlap (N, K, ...), where
            each part is taken by itself.
        num_classes: of class ids, with background; without it the device is asked for the
            largest one, once.
        axes: number of spatial axes, 2 or 3.

    Returns:
        A label of the same shape, type and device.

    Example:
        >>> y = torch.tensor([[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 1]]])
        >>> largest_components(y)[0].tolist()
        [[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 0]]
    """
    if not _on_host(label):
        return components_on_device(label, num_classes, axes)
    maps = label.detach().numpy()
    out = np.zeros_like(maps)
    one = (-1, *maps.shape[maps.ndim - axes :])
    for source, target in zip(maps.reshape(one), out.reshape(one), strict=True):
        for value in np.unique(source):
            if value != 0:
                target[largest_component(source == value)] = value
    return torch.from_numpy(out)


def _on_host(x: Tensor) -> bool:
    return x.device.type == 'cpu'


def components_on_device(label: Tensor, num_classes: int | None = None, axes: int = 2) -> Tensor:
    """Do what `largest_components` does with the label's device alone."""
    if label.dim() == axes + 2:
        return largest_component_masks(label != 0, axes).to(label.dtype)
    classes = int(label.max()) + 1 if num_classes is None else num_classes
    kept = largest_component_masks(class_masks(label, classes)[:, 1:], axes).any(1)
    return torch.where(kept, label, 0)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest component of a boolean picture or volume.

    Pixels that touch by a side, an edge or a corner are connected.

    Example:
        >>> largest_component(np.array([[1, 0, 1], [0, 0, 1]], dtype=bool)).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    numbered, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, dtype=bool))
    if count < 2:
        return mask
    return numbered == np.bincount(numbered.ravel())[1:].argmax() + 1


def class_masks(labels: Tensor, num_classes: int) -> Tensor:
    """Return one mask for each class, (N, C, ...) bool; a label that is no class is in none.

    Args:
        labels: class ids (N, ...).
        num_classes: C, with background.

    Example:
        >>> class_masks(torch.tensor([[[0, 2, 255]]]), 3)[0, :, 0].int().tolist()
        [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    """
    classes = torch.arange(num_classes, device=labels.device)
    return labels[:, None] == classes.view(-1, *(1,) * (labels.dim() - 1))


def largest_component_masks(masks: Tensor, axes: int = 2) -> Tensor:
    """Keep the largest component of each mask, connected by sides and corners.

    Of two components of one size the first one in reading order stays.

    Args:
        masks: (..., H, W) bool, or (..., D, H, W).
        axes: number of spatial axes, 2 or 3.

    Returns:
        Masks of the same shape; empty where the mask is empty.

    Example:
        >>> largest_component_masks(torch.tensor([[1, 0, 1], [0, 0, 1]]).bool()).int().tolist()
        [[0, 0, 1], [0, 0, 1]]
    """
    size = masks.shape[masks.dim() - axes :]
    odd = [number for side in reversed(size) for number in (0, side % 2)]
    flat = F.pad(masks.reshape(-1, *size), odd)
    cells = _in_cells(flat, 1)
    roots = component_roots(cells)
    nothing = flat.shape[1:].numel()
    place = _in_cells(torch.arange(nothing, device=masks.device).view(flat.shape[1:]), 0)
    inside = tuple(range(axes + 1, 2 * axes + 1))
    first = torch.where(cells, place, nothing).amin(inside).flatten(1)
    count = cells.sum(inside).flatten(1)
    size_of = torch.zeros_like(roots).scatter_add(1, roots, count)
    first = torch.full_like(roots, nothing).scatter_reduce(1, roots, first, 'amin')
    best = (size_of * (nothing + 1) - first).argmax(1, keepdim=True)
    kept = (roots == best).view(cells.shape[: axes + 1])
    for axis in range(1, axes + 1):
        kept = kept.repeat_interleave(2, axis)
    kept = kept & flat
    return kept[(slice(None), *(slice(side) for side in size))].reshape(masks.shape)


def _in_cells(x: Tensor, leading: int) -> Tensor:
    """Cut spatial axes behind the leading ones into cells of side 2: (..., h, w, 2, 2)."""
    axes = x.dim() - leading
    for axis in reversed(range(leading, x.dim())):
        x = x.unflatten(axis, (-1, 2))
    grid = range(leading, leading + 2 * axes, 2)
    return x.permute(*range(leading), *grid, *(axis + 1 for axis in grid))


def component_roots(cells: Tensor) -> Tensor:
    """Return for each cell of 2 x 2 pixels the number of a cell that stands for its component.

    All pixels of a cell touch, so that cells are what gets connected. Each round hooks the root
    of every component that is not finished onto the smallest root among its neighbours, and then
    makes all cells point at their root again by pointer jumping. Hooks onto the smallest
    neighbour close no circle but that of two roots that choose each other, which is cut at the
    smaller. Each unfinished component meets at least one other in a round, so that their number
    at least halves: floor(log2(n)) rounds are enough for n cells in any arrangement (a spiral, a
    serpentine). After k rounds at most n / 2^k are left, which bounds the length of a chain of
    hooks and with it the jumps: about log2(n)^2 / 2 in all.

    Args:
        cells: (B, h, w, 2, 2) bool, or (B, d, h, w, 2, 2, 2) of a volume.

    Returns:
        (B, h * w) long; cells without a pixel stand for themselves.
    """
    axes = cells.dim() // 2
    b, grid_size = len(cells), cells.shape[1 : axes + 1]
    total = grid_size.numel()
    own = torch.arange(total, device=cells.device).expand(b, -1)
    neighbours = [step for step in product((-1, 0, 1), repeat=axes) if any(step)]
    links = [_linked(cells, step) for step in neighbours]
    roots, left = own, total
    while left > 1:
        grid = roots.view(b, *grid_size)
        around = F.pad(grid, (1, 1) * axes, value=total)
        smallest = torch.full_like(grid, total)
        for link, step in zip(links, neighbours, strict=True):
            other = around[_shifted(grid_size, step)]
            other = torch.where(link & (other != grid), other, total)
            smallest = torch.minimum(smallest, other)
        hook = torch.full_like(roots, total).scatter_reduce(1, roots, smallest.flatten(1), 'amin')
        hook = torch.where(hook == total, own, hook)
        mutual = (hook.gather(1, hook) == own) & (own < hook)
        hook = torch.where(mutual, own, hook)
        for _ in range((left - 1).bit_length()):
            hook = hook.gather(1, hook)
        roots, left = hook.gather(1, roots), left // 2
    return roots


def _shifted(size: Sequence[int], step: Sequence[int]) -> tuple[slice, ...]:
    """Return where a grid padded by one holds the neighbour in the direction of `step`."""
    places = (slice(1 + d, 1 + d + side) for d, side in zip(step, size, strict=True))
    return (slice(None), *places)


def _linked(cells: Tensor, step: Sequence[int]) -> Tensor:
    """Say of each cell whether one of its pixels touches one of its neighbour's."""
    axes = len(step)
    facing_side = {-1: slice(0, 1), 0: slice(0, 2), 1: slice(1, 2)}

    def touching(sign: int) -> Tensor:
        side = tuple(facing_side[sign * d] for d in step)
        return cells[(slice(None),) * (cells.dim() - axes) + side].flatten(axes + 1).any(axes + 1)

    answer = F.pad(touching(-1), (1, 1) * axes)
    return touching(1) & answer[_shifted(cells.shape[1 : axes + 1], step)]
