"""Distances of points near the other surface: all at once, one distance after the other."""

import itertools
from functools import lru_cache

import numpy as np

from mmssl.evaluation.distances import windows
from mmssl.evaluation.distances.bits import GAP, PackedMasks, count, shifted

REACH = GAP  # pixels of the smallest side up to which shifts are tried
CALL, WORDS = 3e-6, 6e-10  # seconds for an operation on arrays, and for each of their words

Histogram = tuple[np.ndarray, np.ndarray]
"""Distances, and how many points have each."""


def settle_near(
    surfaces: PackedMasks, sampling: tuple[float, ...]
) -> tuple[list[Histogram], PackedMasks, int]:
    """Settle the points of two surfaces that lie near the other one, both ways at once.

    It goes on to the next whole distance while one settles a quarter of the points that were left,
    and while, on a plane, that takes less time than to look around each of these.

    Args:
        surfaces: two of them.
        sampling: size of a pixel along each axis.

    Returns:
        The distances of the settled points of each, the points that are left of each, and the
        reach in pixels within which to look around these; 0 if that is not worth while.
    """
    left = surfaces.words.copy()
    target = np.ascontiguousarray(surfaces.words[::-1])
    near, settled = np.zeros_like(target), np.empty_like(target)
    moved = {0: target}
    counts = np.array(surfaces.counts())
    distances, found = [], []
    steps, reach = _steps(sampling), 0
    for number, step in enumerate(steps, 1):
        before, so_far = counts, 0 * counts
        for distance, offsets in step:
            for *shift, along in offsets:
                if along not in moved:
                    moved[along] = shifted(target, along) | shifted(target, -along)
                _add_shifted(near, moved[along], shift, surfaces.row)
            np.bitwise_and(left, near, out=settled)
            reached = np.array([count(settled[0]), count(settled[1])])
            distances.append(distance)
            found.append(reached - so_far)
            so_far = reached
            if (reached == before).all():
                break
        left ^= settled
        counts = before - so_far
        rest = counts.sum()
        if not rest or 4 * rest > 3 * before.sum() or number == len(steps):
            break
        if len(sampling) == 2:
            rows = windows.rows_of(2 * number, sampling) * rest
            shifts = _operations(steps[number]) * (CALL + WORDS * left.size)
            if windows.START + windows.COST * rows < shifts:
                reach = 2 * number
                break
    histograms = [(np.array(distances), np.array(found)[:, way]) for way in range(2)]
    return histograms, PackedMasks(left, surfaces.shape, surfaces.row), reach


@lru_cache(maxsize=64)
def _steps(sampling: tuple[float, ...]) -> list[list[tuple[float, list[tuple[int, ...]]]]]:
    """Return distances in rising order, each with the offsets (no axis negative) that have it.

    They come in steps of one pixel of the smallest side; the first step is what touches.
    """
    unit = min(sampling)
    axes = [range(int(REACH * unit / size) + 1) for size in sampling]
    by_distance: dict[float, list[tuple[int, ...]]] = {}
    for offset in itertools.product(*axes):
        squared = np.square(np.multiply(offset, sampling)).sum()
        if squared <= (REACH * unit) ** 2:
            by_distance.setdefault(float(np.sqrt(squared)), []).append(offset)
    steps: dict[int, list] = {}
    for distance in sorted(by_distance):
        steps.setdefault(max(1, int(np.ceil(distance / unit - 1e-9))), []).append(
            (distance, by_distance[distance])
        )
    return [steps[number] for number in sorted(steps)]


def _operations(step: list[tuple[float, list[tuple[int, ...]]]]) -> int:
    """Return about how many operations on whole surfaces a step takes."""
    return sum(2 * (1 + len(offsets)) for _, offsets in step)


def _add_shifted(near: np.ndarray, words: np.ndarray, shift: list[int], row: int) -> None:
    """Mark what is `shift` rows (or slices and rows) away, in all directions."""
    slices, rows = shift if len(shift) == 2 else (0, shift[0])
    for up, down in _both_signs(slices):
        for left, right in _both_signs(rows * row):
            place = near[:, up, left]
            np.bitwise_or(place, words[:, down, right], out=place)


@lru_cache(maxsize=1024)
def _both_signs(by: int) -> tuple[tuple[slice, slice], ...]:
    """Return pairs of where to and where from, for a shift either way."""
    if by == 0:
        return ((slice(None), slice(None)),)
    return (slice(by, None), slice(None, -by)), (slice(None, -by), slice(by, None))
