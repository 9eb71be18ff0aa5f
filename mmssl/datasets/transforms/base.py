"""What the transforms share: the sample's own generator, and images that keep their channels."""

import numpy as np


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
