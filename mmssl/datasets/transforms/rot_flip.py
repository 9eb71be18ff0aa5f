"""Flips, quarter turns and small rotations, the weak views of the single-domain methods.

Flips and quarter turns act on any axes of images and volumes. They give views of the arrays, not
copies: a crop that follows copies what it keeps.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import (
    FILLS,
    OUTSIDE,
    check_axes,
    check_prob,
    follow_axes,
    need_axes,
    sample_rng,
)
from mmssl.registry import TRANSFORMS


@lru_cache(maxsize=128)
def rotation_source(height: int, width: int, angle: int) -> np.ndarray:
    """Return which pixel each pixel of a rotated image shows, -1 where it shows none.

    The grid of `scipy.ndimage.rotate(order=0, reshape=False)`, found by rotating the numbers of
    the pixels. Pixels are numbered row by row.

    Args:
        height: rows.
        width: columns.
        angle: degrees; positive turns counter-clockwise.

    Returns:
        Read-only integers (height, width).

    Examples:
        >>> rotation_source(3, 3, 90).tolist()
        [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
        >>> rotation_source(3, 3, 45).tolist()
        [[-1, 2, -1], [0, 4, 8], [-1, 6, -1]]
    """
    from scipy.ndimage import rotate

    numbers = np.arange(height * width, dtype=np.intp).reshape(height, width)
    source = rotate(numbers, angle, reshape=False, order=0, cval=OUTSIDE)
    source.flags.writeable = False
    return source


def rotate_nearest(array: np.ndarray, angle: int, fill: float) -> np.ndarray:
    """Rotate an array (H, W) or (H, W, C) by whole degrees, to the nearest pixel."""
    height, width = array.shape[:2]
    pixels = array.reshape(height * width, *array.shape[2:])
    # The last one is what the index -1 finds.
    pixels = np.concatenate([pixels, np.full_like(pixels[:1], fill)])
    return pixels[rotation_source(height, width, angle)]


def _flip(results: dict, axis: int) -> None:
    """Mirror what there is of image, mask and grid along an axis, without a copy."""
    last = results['img'].shape[axis] - 1
    for key in FILLS:
        if key in results:
            results[key] = np.flip(results[key], axis)
    moved = np.eye(results['img'].ndim)
    moved[axis, axis], moved[axis, -1] = -1, last
    follow_axes(results, moved)


def turn_and_flip(
    results: dict, turns: int, flip: int | None, axes: tuple[int, int] = (0, 1)
) -> None:
    """Turn image, mask and grid by quarters in the plane of two axes, then mirror one of these.

    Args:
        results: the sample; its arrays are replaced by views of them.
        turns: quarters, from the first axis towards the second.
        flip: 0 or 1, which of the two axes is mirrored; None mirrors none.
        axes: the axes of the plane.
    """
    size = results['img'].ndim
    old = results['img'].shape
    for key in FILLS:
        if key in results:
            results[key] = np.rot90(results[key], turns, axes)
    first, second = axes
    moved = np.eye(size)
    for _ in range(turns % 4):
        # numpy's quarter: new[i, j] = old[j, last - i].
        step = np.eye(size)
        step[[first, second]] = 0
        step[first, second], step[second, first] = 1, -1
        step[second, -1] = old[second] - 1
        moved = moved @ step
        old = tuple(old[{first: second, second: first}.get(n, n)] for n in range(len(old)))
    follow_axes(results, moved)
    if flip is not None:
        _flip(results, axes[flip])


@TRANSFORMS.register_module()
class RandomFlip(BaseTransform):
    """Mirror an image or a volume along each of some axes, with the same probability.

    Args:
        axes: axes that may be mirrored, counted from 0 without channels; (0, 1, 2) are all of a
            volume (D, H, W).
        prob: probability of each.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(self, axes: int | Sequence[int], prob: float = 0.5) -> None:
        self.axes = check_axes(axes)
        self.prob = check_prob(prob)

    def transform(self, results: dict) -> dict:
        """Draw a gate for each axis in their order; mirror."""
        need_axes(results, self.axes, type(self).__name__)
        rng = sample_rng(results)
        for axis in self.axes:
            if rng.random() < self.prob:
                _flip(results, axis)
        return results


@TRANSFORMS.register_module()
class RandomHorizontalFlip(RandomFlip):
    """Mirror left and right.

    Args:
        prob: probability to apply it.
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(axes=1, prob=prob)


@TRANSFORMS.register_module()
class RandomQuarterTurn(BaseTransform):
    """Turn by 0 to 3 quarters in the plane of two axes, then mirror one of the two.

    The weak view of UA-MT and the works built on it (Yu et al., MICCAI 2019), where it comes before
    the crop. Nothing is copied, so that this order costs no more than the other.

    Args:
        axes: the two axes, counted from 0 without channels.
        flip: mirror one of them, drawn; False turns only.
        prob: probability to apply it.

    Raises:
        ValueError: an option is out of its range.
    """

    def __init__(self, axes: Sequence[int] = (0, 1), flip: bool = True, prob: float = 1.0) -> None:
        first, second = check_axes(axes, 2)
        self.axes = (first, second)
        self.flip = flip
        self.prob = check_prob(prob)

    def transform(self, results: dict) -> dict:
        """Draw the gate unless it is certain, the quarters and the axis to mirror."""
        need_axes(results, self.axes, 'RandomQuarterTurn')
        rng = sample_rng(results)
        if self.prob < 1 and rng.random() >= self.prob:
            return results
        turns = int(rng.integers(4))
        turn_and_flip(results, turns, int(rng.integers(2)) if self.flip else None, self.axes)
        return results


@TRANSFORMS.register_module()
class RandomRotFlipRotate(BaseTransform):
    """Turn by quarters and flip, or rotate by a few degrees, or do nothing.

    The augmentation of SSL4MIS, UniMatch's medical code and the works built on them: with
    `rot_flip_prob` a turn by 0 to 3 quarters and a flip of a random axis; otherwise, with
    `rotate_prob`, a rotation by a whole number of degrees; otherwise nothing. Images, too, are
    rotated to the nearest pixel, as there; what moves in from outside is 0.

    An image that is not square changes its shape under odd quarter turns; put `ResizeSquare`
    before, or after as SSL4MIS does, as batches need one size.

    Args:
        rot_flip_prob: probability of quarter turns with a flip.
        rotate_prob: probability of a rotation where there was no quarter turn.
        degrees: angles are drawn uniformly from -degrees ... degrees - 1; positive turns
            counter-clockwise.
    """

    def __init__(
        self, rot_flip_prob: float = 0.5, rotate_prob: float = 0.5, degrees: int = 20
    ) -> None:
        self.rot_flip_prob = check_prob(rot_flip_prob)
        self.rotate_prob = check_prob(rotate_prob)
        self.degrees = int(degrees)
        if not 1 <= self.degrees <= 180:
            raise ValueError(f'degrees = {degrees}: give 1 to 180.')

    def transform(self, results: dict) -> dict:
        """Draw the gate, then turns and axis, or the second gate and the angle."""
        rng = sample_rng(results)
        if rng.random() < self.rot_flip_prob:
            turn_and_flip(results, int(rng.integers(4)), int(rng.integers(2)))
            for key in FILLS:
                if key in results:
                    results[key] = np.ascontiguousarray(results[key])
        elif rng.random() < self.rotate_prob:
            angle = int(rng.integers(-self.degrees, self.degrees))
            for key, fill in FILLS.items():
                if key in results:
                    results[key] = rotate_nearest(results[key], angle, fill)
        return results
