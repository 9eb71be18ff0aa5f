"""A patch out of an image or a volume, padded where that is smaller."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import FILLS, check_prob, follow_axes, sample_rng
from mmssl.registry import TRANSFORMS


def cut(array: np.ndarray, begin: Sequence[int], sides: Sequence[int], fill) -> np.ndarray:
    """Copy a window out of an array; what lies outside of the array is `fill`.

    Args:
        array: its first axes are those of the window.
        begin: where the window begins along each axis; negative before the array.
        sides: of the window.
        fill: a number, or one for each channel.

    Example:
        >>> cut(np.array([[1, 2], [3, 4]]), (-1, 1), (2, 2), 0).tolist()
        [[0, 0], [2, 0]]
    """
    ends = [first + side for first, side in zip(begin, sides, strict=True)]
    inside = tuple(
        slice(min(max(first, 0), whole), max(min(end, whole), 0))
        for first, end, whole in zip(begin, ends, array.shape, strict=False)
    )
    part = array[inside]
    if part.shape[: len(sides)] == tuple(sides):
        return np.array(part, order='C')
    out = np.empty((*sides, *array.shape[len(sides) :]), array.dtype)
    out[...] = fill
    place = tuple(
        slice(taken.start - first, taken.stop - first)
        for taken, first in zip(inside, begin, strict=True)
    )
    out[place] = part
    return out


@TRANSFORMS.register_module()
class RandomCrop(BaseTransform):
    """Cut a patch at a random place, the same of the image, its mask and its grid.

    The place is uniform over all where the patch fits. Along an axis that is shorter than the
    patch, the image is padded on both sides; the mask with class 0. With `foreground` that share
    of the labelled patches, as in nnU-Net (Isensee et al., Nature Methods 2021), lies around a
    voxel of a class drawn from those that the mask has.

    UA-MT's released code pads with 0, which is the mean after z-scores, and 3 voxels further where
    an axis is not longer than the patch: `pad=0, margin=3`.

    Args:
        size: sides of the patch, in the order of the array's axes; None keeps an axis whole.
        foreground: share of the labelled samples whose patch is put around foreground; None or 0
            draws nothing for it.
        pad: value that fills up the image, or 'min' for the smallest of each channel.
        margin: voxels of further padding, before and after, along an axis that is not longer than
            the patch.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(
        self,
        size: Sequence[int | None],
        foreground: float | None = None,
        pad: float | str = 0.0,
        margin: int = 0,
    ) -> None:
        self.size = tuple(size)
        if not self.size or any(side is not None and side < 1 for side in self.size):
            raise ValueError(
                f'size = {self.size}: give the sides of the patch, or None for an axis that stays '
                'whole.'
            )
        if isinstance(pad, str) and pad != 'min':
            raise ValueError(f'pad = "{pad}": give a number, or "min".')
        if margin < 0:
            raise ValueError(f'margin = {margin}: give 0 or more voxels.')
        self.foreground = check_prob(foreground or 0)
        self.pad = pad
        self.margin = margin

    def transform(self, results: dict) -> dict:
        """Draw the place along each axis, then the gate, the class and the voxel; cut.

        Raises:
            ValueError: the image has another number of axes than the patch.
        """
        rng = sample_rng(results)
        whole = results['img'].shape[:-1]
        if len(whole) != len(self.size):
            raise ValueError(
                f'RandomCrop has size = {self.size}, but the image "{results.get("name", "?")}" is '
                f'{" x ".join(map(str, whole))}: give one side for each of its axes.'
            )
        sides = [side or length for side, length in zip(self.size, whole, strict=True)]
        first, last = self._places(whole, sides)
        begin = [int(rng.integers(a, b, endpoint=True)) for a, b in zip(first, last, strict=True)]
        if self.foreground and 'gt' in results and rng.random() < self.foreground:
            voxel = draw_foreground(rng, results['gt'])
            if voxel is not None:
                around = [v - side // 2 for v, side in zip(voxel, sides, strict=True)]
                begin = np.clip(around, first, last).tolist()
        for key, fill in FILLS.items():
            if key in results:
                results[key] = cut(results[key], begin, sides, self._fill(results, key, fill))
        moved = np.eye(len(sides) + 1)
        moved[:-1, -1] = begin
        follow_axes(results, moved)
        return results

    def _places(self, whole: Sequence[int], sides: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the first and the last place where the patch may begin along each axis."""
        first, last = [], []
        for length, side, asked in zip(whole, sides, self.size, strict=True):
            margin = self.margin if asked is not None and length <= side else 0
            before, after = max(side - length, 0) // 2, -(-max(side - length, 0) // 2)
            first.append(-before - margin)
            last.append(length + after + margin - side)
        return first, last

    def _fill(self, results: dict, key: str, fill: int):
        if key != 'img':
            return fill
        if self.pad != 'min':
            return self.pad
        img = results['img']
        return img.min(axis=tuple(range(img.ndim - 1)))


def draw_foreground(rng: np.random.Generator, gt: np.ndarray) -> tuple[int, ...] | None:
    """Draw a class from those of the foreground, then one of its voxels.

    Args:
        rng: draws.
        gt: class ids, 0 is the background.

    Returns:
        The voxel's place; None if there is no foreground, and nothing is drawn then.
    """
    flat = gt.ravel()  # copies a turned one, of bytes, which is faster than to look through it
    at = np.flatnonzero(flat > 0)
    if not len(at):
        return None
    ids = flat[at]
    classes = np.flatnonzero(np.bincount(ids))
    of_class = at[ids == classes[rng.integers(len(classes))]]
    voxel = of_class[rng.integers(len(of_class))]
    return tuple(int(n) for n in np.unravel_index(voxel, gt.shape))
