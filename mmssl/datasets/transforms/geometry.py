"""Weak views: random geometry, applied to an image and, where there are some, its mask and grid.

Every class takes its draws from `results['rng']` alone and in a fixed order, so that a sample
looks the same with and without its mask. Arrays are replaced, never written to, because the
prepared ones may sit in a cache. Masks hold class ids; whatever moves in from outside is class 0.
The grid of `TrackGeometry` is moved as the mask is, and is -1 outside.
"""

from functools import lru_cache

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import OUTSIDE, check_range, plane_of, sample_rng, with_channels
from mmssl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TrackGeometry(BaseTransform):
    """Put a map beside the image that tells where each pixel of the view comes from.

    Adds `grid`, float32 (H, W), which numbers the pixels row by row. The geometry that follows
    moves it to the nearest pixel, so in the end it holds for each pixel of the view the number of
    the pixel of the present image that it shows, and -1 where there is none. Anything computed
    from the present image can be brought to the view by it, such as cached feature maps.
    """

    def transform(self, results: dict) -> dict:
        """Number the pixels.

        Raises:
            ValueError: the image has more pixels than float32 tells apart.
        """
        height, width = plane_of(results, 'TrackGeometry', 'it with slices (sample="slice")')
        if height * width > 2**24:
            raise ValueError(
                f'Image "{results.get("name", "?")}" of {height}x{width} has too many pixels to '
                'track; put ResizeSquare (4096 or less) before TrackGeometry.'
            )
        results['grid'] = np.arange(height * width, dtype=np.float32).reshape(height, width)
        return results


@TRANSFORMS.register_module()
class RandomScaleCrop(BaseTransform):
    """Stretch height and width by independent factors, then cut a random window of the old size.

    Args:
        prob: probability to apply it.
        scale: range of the two factors, at least 1.
    """

    def __init__(self, prob: float = 0.5, scale: tuple[float, float] = (1.0, 1.5)) -> None:
        self.prob = prob
        self.scale = check_range('scale', scale, 1)

    def transform(self, results: dict) -> dict:
        """Draw the gate, the width factor, the height factor, left and top; stretch and cut."""
        height, width = plane_of(results, 'RandomScaleCrop', 'RandomCrop or Monai(RandZoomd)')
        rng = sample_rng(results)
        if rng.random() >= self.prob:
            return results
        wide, high = int(rng.uniform(*self.scale) * width), int(rng.uniform(*self.scale) * height)
        left, top = int(rng.integers(wide - width + 1)), int(rng.integers(high - height + 1))
        for key, mode in (
            ('img', cv2.INTER_LINEAR),
            ('gt', cv2.INTER_NEAREST_EXACT),
            ('grid', cv2.INTER_NEAREST_EXACT),
        ):
            if key in results:
                out = cv2.resize(results[key], (wide, high), interpolation=mode)
                out = out[top : top + height, left : left + width]
                results[key] = with_channels(out, results[key])
        return results


@TRANSFORMS.register_module()
class RandomRotate(BaseTransform):
    """Rotate about the centre by a whole number of degrees.

    Args:
        prob: probability to apply it.
        degrees: angles are drawn uniformly from -degrees ... degrees; positive turns
            counter-clockwise.
        img_fill: grey level of the corners that become free.
        mask_fill: class id of the corners that become free.
    """

    def __init__(
        self, prob: float = 0.5, degrees: int = 20, img_fill: int = 0, mask_fill: int = 0
    ) -> None:
        self.prob = prob
        self.degrees = int(degrees)
        self.img_fill = img_fill
        self.mask_fill = mask_fill

    def transform(self, results: dict) -> dict:
        """Draw the gate and the angle; rotate."""
        height, width = plane_of(results, 'RandomRotate', 'Monai(RandAffined)')
        rng = sample_rng(results)
        if rng.random() >= self.prob:
            return results
        angle = int(rng.integers(-self.degrees, self.degrees, endpoint=True))
        if angle == 0:
            return results
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        for key, mode, fill in (
            ('img', cv2.INTER_LINEAR, self.img_fill),
            ('gt', cv2.INTER_NEAREST, self.mask_fill),
            ('grid', cv2.INTER_NEAREST, OUTSIDE),
        ):
            if key in results:
                out = cv2.warpAffine(
                    results[key], matrix, (width, height), flags=mode, borderValue=(fill,) * 4
                )
                results[key] = with_channels(out, results[key])
        return results


@lru_cache(maxsize=8)
def _pixel_grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and row number of every pixel as two read-only float32 (H, W) maps."""
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    columns.flags.writeable = rows.flags.writeable = False
    return columns, rows


def elastic_field(
    rng: np.random.Generator,
    height: int,
    width: int,
    alpha: float,
    sigma: float,
    reduction: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a smooth random displacement of every pixel.

    Uniform noise on (-1, 1), smoothed by a Gaussian with zeros outside the image and multiplied
    by `alpha`. With `reduction` r > 1 the noise lives on a grid r times coarser, with sigma / r
    and alpha / r, and the field is interpolated: averaging white noise over sigma pixels leaves a
    standard deviation proportional to 1 / sigma, so alpha has to shrink with sigma for the
    displacement to stay the same.

    Args:
        rng: source of the noise.
        height: rows.
        width: columns.
        alpha: factor in pixels.
        sigma: standard deviation of the Gaussian in pixels; its kernel ends at 4 sigma.
        reduction: how much coarser the grid of the noise is; 1 gives the exact field. It is
            lowered where sigma would be less than 3 steps of the grid.

    Returns:
        Two float32 (H, W) maps in pixels, the displacements along columns and along rows.
    """
    coarser = max(1.0, min(reduction, sigma / 3))
    rows, columns = max(1, round(height / coarser)), max(1, round(width / coarser))
    ratio_y, ratio_x = height / rows, width / columns
    radius_x, radius_y = int(4 * sigma / ratio_x + 0.5), int(4 * sigma / ratio_y + 0.5)
    noise = rng.random((2, rows, columns), dtype=np.float32) * 2 - 1
    noise *= np.float32(alpha / np.sqrt(ratio_x * ratio_y))
    maps = []
    for plane in noise:
        plane = cv2.GaussianBlur(
            plane,
            (2 * radius_x + 1, 2 * radius_y + 1),
            sigmaX=sigma / ratio_x,
            sigmaY=sigma / ratio_y,
            borderType=cv2.BORDER_CONSTANT,
        )
        maps.append(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR))
    return maps[0], maps[1]


@TRANSFORMS.register_module()
class RandomElastic(BaseTransform):
    """Bend the image by a smooth random displacement field.

    Simard et al., "Best practices for convolutional neural networks applied to visual document
    analysis", ICDAR 2003. Pixels from outside are 0 in the image; the mask repeats its border.

    Averaging the noise over sigma pixels leaves displacements proportional to alpha / sigma, so
    that with both as multiples of the height H, as published, they measure 5.4 pixels (root mean
    square) whatever H is: 1 % of 512 pixels, 8 % of 64. Here `alpha` holds for images of `side`
    pixels, and images of another size are bent by the same part of their height::

        displacement = alpha H (H / side) G(sigma H) * U(-1, 1)

    The default draws the field on a grid 8 times coarser, see `elastic_field`: the displacement's
    standard deviation and correlation length stay those of the exact field, at a fraction of the
    time.

    Args:
        prob: probability to apply it.
        alpha: strength of the displacement as a multiple of the height of an image of `side`
            pixels.
        sigma: smoothness as a fraction of the image height.
        reduction: coarseness of the field's grid; 1 gives the exact field.
        side: height in pixels of the images that `alpha` was chosen for.
    """

    def __init__(
        self,
        prob: float = 0.5,
        alpha: float = 2.0,
        sigma: float = 0.08,
        reduction: int = 8,
        side: int = 512,
    ) -> None:
        if reduction < 1:
            raise ValueError(f'reduction = {reduction}: give 1 (exact) or more.')
        if side < 1:
            raise ValueError(f'side = {side}: give the height in pixels that alpha is meant for.')
        self.prob = prob
        self.alpha = alpha
        self.sigma = sigma
        self.reduction = reduction
        self.side = side

    def transform(self, results: dict) -> dict:
        """Draw the gate and the field; move the pixels."""
        height, width = plane_of(results, 'RandomElastic', 'Monai(Rand3DElasticd)')
        rng = sample_rng(results)
        if rng.random() >= self.prob:
            return results
        alpha = self.alpha * height * (height / self.side)
        dx, dy = elastic_field(rng, height, width, alpha, self.sigma * height, self.reduction)
        columns, rows = _pixel_grid(height, width)
        dx += columns
        dy += rows
        for key, mode, border, fill in (
            ('img', cv2.INTER_LINEAR, cv2.BORDER_CONSTANT, 0),
            ('gt', cv2.INTER_NEAREST, cv2.BORDER_REPLICATE, 0),
            ('grid', cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, OUTSIDE),
        ):
            if key in results:
                out = cv2.remap(
                    results[key], dx, dy, mode, borderMode=border, borderValue=(fill,) * 4
                )
                results[key] = with_channels(out, results[key])
        return results
