"""Nearest points by all pairs that may count: exact in whole numbers, a product of matrices a band.

The squared distance of a and b is the product of (a, |a|^2, 1) and (-2b, 1, |b|^2). Points are in
rising order of their first coordinate, so that those of a band of it have their nearest in that
band and a margin, if that is wide enough: which is seen from what is found.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ALL = 2**18  # pairs of which none is left out, since that takes no longer than to choose
CALL = 15000  # pairs that take as long as what a band costs whatever its size
SAMPLE = 16  # points that say how wide the margin has to be
MOST = 2**16  # pairs of a product, which BLAS computes in the thread that calls it


class Plan(NamedTuple):
    """Which pairs to look at.

    Args:
        one: (ndim + 2, n) factors of one set of points.
        other: (ndim + 2, m) factors of the other.
        reach: distance up to which a margin holds the nearest.
        bands: first and last + 1 of the points of each band, and of those it is compared with.
        cost: number of pairs, and of those that take as long as the calls.
    """

    one: np.ndarray
    other: np.ndarray
    reach: float
    bands: np.ndarray
    cost: int


def plan(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> Plan:
    """Choose a margin by the distances of a few points, and count the pairs.

    Args:
        one: whole numbers (ndim, n), the first coordinates in rising order.
        other: the same (ndim, m).
        shape: of the grid in which they are.
    """
    middle = np.array(shape)[:, None] // 2
    # |a|^2 + 2|a||b| + |b|^2 bounds every sum on the way: below 2^24 float32 is exact.
    bound = 4 * int(np.square(middle + 1).sum())
    dtype = np.float32 if bound < 2**24 else np.float64
    left, right = _factors(one, middle, dtype), _factors(other, middle, dtype)
    right[:-2] *= -2
    right[-2:] = right[:-3:-1].copy()
    total = one.shape[1] * other.shape[1]
    if total <= ALL:
        everything = np.array([[0, one.shape[1], 0, other.shape[1]]])
        return Plan(left, right, math.inf, everything, total)
    reach = _margin(left, right)
    number = min(one.shape[1], 1 + int(np.sqrt(total / CALL)))
    ends = np.arange(number + 1) * one.shape[1] // number
    start, stop = ends[:-1], ends[1:]
    low = np.searchsorted(other[0], one[0, start] - reach)
    high = np.searchsorted(other[0], one[0, stop - 1] + reach, side='right')
    cost = CALL * number + int(((stop - start) * (high - low)).sum())
    return Plan(left, right, reach, np.stack((start, stop, low, high), axis=1), cost)


def _margin(left: np.ndarray, right: np.ndarray) -> int:
    """Return somewhat more than the furthest that a few points of either set are from the other."""
    some, others = (f[:, :: -(-f.shape[1] // SAMPLE)] for f in (left, right))
    furthest = max((some.T @ right).min(axis=1).max(), (others.T @ left).min(axis=1).max())
    return int(1.25 * np.sqrt(furthest)) + 2


def squared_both_ways(chosen: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distance to the nearest point, of each of one set and of the other."""
    left, right = chosen.one, chosen.other
    one, other = (_infinite(factors.shape[1], left.dtype) for factors in (left, right))
    for start, stop, low, high in chosen.bands.tolist():
        if low < high:
            _compare(left[:, start:stop], right[:, low:high], one[start:stop], other[low:high])
    # What lies further away than the margin may have its nearest outside.
    for least, own, others in ((one, left, right), (other, right, left)):
        far = np.flatnonzero(least.view(left.dtype) > chosen.reach**2)
        if len(far):
            found = _infinite(len(far), left.dtype)
            _compare(own[:, far], others, found, _infinite(others.shape[1], left.dtype))
            least[far] = found
    return one.view(left.dtype), other.view(left.dtype)


def _infinite(number: int, dtype: np.dtype) -> np.ndarray:
    """Return the bits of infinite squares."""
    return np.full(number, np.inf, dtype).view(f'i{dtype.itemsize}')


def _factors(points: np.ndarray, middle: np.ndarray, dtype: type) -> np.ndarray:
    """Return (a, |a|^2, 1) of each point, from the middle."""
    axes, total = points.shape
    factors = np.ones((axes + 2, total), dtype)
    np.subtract(points, middle, out=factors[:axes], casting='unsafe')
    np.einsum('ij,ij->j', factors[:axes], factors[:axes], out=factors[axes])
    return factors


def _compare(
    one: np.ndarray, other: np.ndarray, least: np.ndarray, least_other: np.ndarray
) -> None:
    """Set the least squares of one and lower those of the other, in products not too large.

    Least squares are the bits of floats that are not negative, which have the order of whole
    numbers, and numpy finds the least of those sooner.
    """
    step = max(1, MOST // other.shape[1])
    for start in range(0, one.shape[1], step):
        squares = (one[:, start : start + step].T @ other).view(least.dtype)
        squares.min(axis=1, out=least[start : start + step])
        np.minimum(least_other, squares.min(axis=0), out=least_other)
