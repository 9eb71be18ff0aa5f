"""The weak view of the single-domain methods: quarter turns with a flip, or a small rotation."""

from functools import lru_cache

import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import check_prob, sample_rng
from mmssl.datasets.transforms.geometry import OUTSIDE
from mmssl.registry import TRANSFORMS

_FILLS = {'img': 0, 'gt': 0, 'grid': OUTSIDE}


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
            turns, axis = int(rng.integers(4)), int(rng.integers(2))
            for key in _FILLS:
                if key in results:
                    results[key] = np.ascontiguousarray(
                        np.flip(np.rot90(results[key], turns), axis)
                    )
        elif rng.random() < self.rotate_prob:
            angle = int(rng.integers(-self.degrees, self.degrees))
            for key, fill in _FILLS.items():
                if key in results:
                    results[key] = rotate_nearest(results[key], angle, fill)
        return results
