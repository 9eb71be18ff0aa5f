"""Whether a network knows how sure it may be, and how two measurements agree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """A reliability curve.

    Attributes:
        pixels: number in each bin of confidence.
        confidence: their mean confidence; NaN in an empty bin.
        accuracy: share of them that is right; NaN in an empty bin.
        ece: expected calibration error, sum over the bins of their share of all pixels times
            |accuracy - confidence| (Naeini et al. 2015; Guo et al. 2017).
    """

    pixels: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> Reliability:
    """Compare how sure a network is with how often it is right.

    Args:
        confidence: probability of the predicted class, of each pixel, 0 to 1.
        right: whether the predicted class is the true one.
        bins: number of bins of equal width.

    Raises:
        ValueError: the two differ in size.

    Example:
        >>> found = calibration(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0]), bins=2)
        >>> found.pixels.tolist(), round(found.ece, 3)
        ([0.0, 4.0], 0.0)
    """
    return reliability_of(reliability_sums(confidence, right, bins))


def reliability_sums(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> np.ndarray:
    """Return what `reliability_of` takes: for each bin pixels, their confidence, those right.

    Args:
        confidence: as `calibration`.
        right: as `calibration`.
        bins: as `calibration`.

    Returns:
        Sums (3, bins).

    Raises:
        ValueError: the two differ in size.
    """
    confidence, right = np.ravel(confidence).astype(float), np.ravel(right).astype(float)
    if confidence.shape != right.shape:
        raise ValueError(f'{confidence.size} confidences do not go with {right.size} answers.')
    at = np.clip((confidence * bins).astype(int), 0, bins - 1)
    return np.stack([np.bincount(at, weights, bins) for weights in (None, confidence, right)])


def reliability_of(sums: np.ndarray) -> Reliability:
    """Return the curve of sums (3, bins): pixels, their confidences, and those that are right.

    Sums of several images can be added up first.
    """
    count, sure, right = np.asarray(sums, float)
    with np.errstate(invalid='ignore', divide='ignore'):
        confidence, accuracy = sure / count, right / count
    total = count.sum()
    ece = np.abs(right - sure).sum() / total if total else float('nan')
    return Reliability(count, confidence, accuracy, float(ece))


class Agreement(NamedTuple):
    """How two measurements of the same things agree (Bland and Altman 1986).

    Attributes:
        bias: mean difference, first minus second.
        low: lower limit of agreement, bias - 1.96 standard deviations.
        high: upper limit.
        pairs: how many there are.
    """

    bias: float
    low: float
    high: float
    pairs: int


def bland_altman(one: Sequence[float], other: Sequence[float]) -> Agreement:
    """Return bias and limits of agreement of two measurements; pairs with NaN are left out.

    Example:
        >>> bland_altman([1.0, 3.0], [1.0, 1.0]).bias
        1.0
    """
    difference = np.asarray(one, float) - np.asarray(other, float)
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return Agreement(float('nan'), float('nan'), float('nan'), 0)
    bias = float(difference.mean())
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else float('nan')
    return Agreement(bias, bias - 1.96 * spread, bias + 1.96 * spread, len(difference))
