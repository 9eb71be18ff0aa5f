"""Nearest points on a plane in a window around each, a row of the window in a word."""

import numpy as np

from mmssl.evaluation.distances.bits import WORD, PackedMasks

SIDE = WORD // 2 - 1  # pixels along a row, each way, that a window has
START, COST = 1e-4, 1e-8  # seconds at all, and for a row of a window
MOST = 2**17  # rows of windows at once


def rows_of(reach: int, sampling: tuple[float, ...]) -> int:
    """Return how many rows lie within a reach, which counts pixels of the smallest side."""
    return 2 * int(reach * min(sampling) / sampling[0]) + 1


def settle_around(
    places: np.ndarray, surfaces: PackedMasks, way: int, reach: int, sampling: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Find the distances of points to a surface where they are within reach.

    Args:
        places: coordinates (2, k) of points of surface number `way`.
        surfaces: two, of which the other one is looked at.
        way: 0 or 1.
        reach: pixels of the smallest side; no more than `SIDE` of them are looked at.
        sampling: size of a pixel along both axes.

    Returns:
        The distances of those within reach, and which ones (k,) are not.
    """
    reach = min(reach, SIDE)
    margin = rows_of(reach, sampling) // 2
    rows = np.arange(-margin, margin + 1)[:, None]
    width = surfaces.row + 2
    padded = np.zeros((surfaces.shape[0] + 2 * margin, width), np.uint64)
    inner = padded[margin : len(padded) - margin, 1:-1]
    inner[:] = surfaces.words[1 - way].reshape(inner.shape)
    squares = np.empty(places.shape[1])
    most = MOST // len(rows)
    for start in range(0, len(squares), most):
        y, x = places[:, start : start + most]
        # A window starts half a word before its point.
        word, bit = np.divmod(x + WORD // 2, WORD)
        along = _from_the_middle(
            _words_at(padded.ravel(), (y + margin + rows) * width + word, bit.astype(np.uint64))
        )
        found = np.square(rows * sampling[0]) + np.square(along * sampling[1])
        found.min(axis=0, out=squares[start : start + most])
    outside = squares > (reach * min(sampling)) ** 2
    return np.sqrt(squares[~outside]), outside


def _words_at(words: np.ndarray, at: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return the word that begins at each place, some bits after its start."""
    begun = words.take(at) >> bits
    # In two steps, since a shift by all 64 is none.
    return begun | (words.take(at + 1) << np.uint64(1)) << (np.uint64(WORD - 1) - bits)


def _from_the_middle(words: np.ndarray) -> np.ndarray:
    """Return how far the nearest set bit is from the middle one; `WORD // 2` if there is none."""
    half = WORD // 2
    after = (words >> np.uint64(half)) | np.uint64(1 << half)
    after &= ~after + np.uint64(1)  # the lowest bit
    before = (words & np.uint64(2**half - 1)) | np.uint64(1)
    return np.minimum(_highest(after), half - _highest(before))


def _highest(words: np.ndarray) -> np.ndarray:
    """Return the number of the highest set bit of words below 2^53: the exponent of a float."""
    return (words.astype(np.float64).view(np.int64) >> 52) - 1023
