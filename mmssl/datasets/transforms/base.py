"""What the transforms share: the sample's own generator, and images that keep their channels."""

from collections.abc import Sequence

import numpy as np

OUTSIDE = -1
"""What the grid of `TrackGeometry` holds where a view shows nothing of the image."""

FILLS = {'img': 0, 'gt': 0, 'grid': OUTSIDE}
"""What is moved together, by its name in the results, and what fills it from outside."""


def sample_rng(results: dict) -> np.random.Generator:
    """Return the generator of this sample, the only source of random draws in a pipeline.

    Raises:
        ValueError: `results` carries no `numpy.random.Generator` under `rng`.
    """
    rng = results.get('rng')
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f'Sample "{results.get("name", results.get("img_path"))}" has no random generator: '
            f'results["rng"] is {type(rng).__name__}; the data set has to put a '
            'numpy.random.Generator there before a random transform runs.'
        )
    return rng


def side_of(results: dict, of: str, transform: str) -> int:
    """Return a side in pixels that the data set gives: of its images, or of its boxes.

    Raises:
        ValueError: the data set does not say it.
    """
    side = (results.get('sizes') or {}).get(of)
    if side is None:
        raise ValueError(
            f'{transform} has no size and the data set has no {of}_size: give one of them, in '
            'pixels.'
        )
    return side


def plane_of(results: dict, transform: str, instead: str) -> tuple[int, int]:
    """Return height and width of a picture.

    Raises:
        ValueError: the image is a volume, for which there is another transform.
    """
    shape = results['img'].shape
    if len(shape) > 3:
        raise ValueError(
            f'{transform} changes pictures, but "{results.get("name", "?")}" is a volume of '
            f'{" x ".join(map(str, shape[:-1]))} voxels: use {instead}.'
        )
    return shape[0], shape[1]


def with_channels(out: np.ndarray, img: np.ndarray) -> np.ndarray:
    """Give `out` the number of axes of `img`; OpenCV drops a single channel."""
    return out[..., None] if out.ndim < img.ndim else out


def check_range(name: str, values: tuple, low: float, high: float = float('inf')) -> tuple:
    """Return `values` as a pair of floats (a, b) with low <= a <= b <= high.

    Raises:
        ValueError: the pair is out of order or outside the bounds.
    """
    first, last = (float(value) for value in values)
    if not low <= first <= last <= high:
        raise ValueError(f'{name} = {tuple(values)}: give (a, b) with {low} <= a <= b <= {high}.')
    return first, last


def check_prob(prob: float) -> float:
    """Return a probability as a float.

    Raises:
        ValueError: it is not in 0 ... 1.
    """
    if not 0 <= prob <= 1:
        raise ValueError(f'prob = {prob}: give a probability from 0 to 1.')
    return float(prob)


def check_axes(axes: int | Sequence[int], number: int | None = None) -> tuple[int, ...]:
    """Return axes of an image as a tuple, each once and counted from 0.

    Raises:
        ValueError: an axis is negative or stands there twice, or there are not `number` of them.
    """
    found = (axes,) if isinstance(axes, int) else tuple(axes)
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise ValueError(f'axes = {axes}: give different axes, counted from 0 without channels.')
    if number is not None and len(found) != number:
        raise ValueError(f'axes = {axes}: give {number} axes.')
    return found


def need_axes(results: dict, axes: Sequence[int], transform: str) -> None:
    """Make sure that an image has the axes that a transform is to change.

    Raises:
        ValueError: it has fewer.
    """
    count = results['img'].ndim - 1
    if max(axes) >= count:
        raise ValueError(
            f'{transform} has axes = {tuple(axes)}, but the image "{results.get("name", "?")}" has '
            f'{count} axes beside its channels: give numbers below {count}.'
        )


def follow_axes(results: dict, new_to_old: np.ndarray) -> None:
    """Bring `spacing` and `affine` of a volume to the voxels that it has now.

    A picture of two axes keeps its own: they are those of the file.

    Args:
        results: the sample, in which they are replaced where they are known.
        new_to_old: (4, 4), place (d, h, w) in the new volume -> place in the old one.
    """
    if new_to_old.shape != (4, 4):
        return
    if results.get('spacing') is not None:
        scaled = np.asarray(results['spacing'], dtype=float)[:, None] * new_to_old[:3, :3]
        results['spacing'] = tuple(float(size) for size in np.linalg.norm(scaled, axis=0))
    if results.get('affine') is not None:
        # It is that of the places (w, h, d).
        turned = new_to_old[np.ix_([2, 1, 0, 3], [2, 1, 0, 3])]
        results['affine'] = np.asarray(results['affine']) @ turned
