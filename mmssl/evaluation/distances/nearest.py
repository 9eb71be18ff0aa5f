"""How far the points of one surface are from another: exact, and quick whatever they look like.

Few points are compared in pairs. Noisy masks have very many, most of which lie beside one of the
other surface: those are settled by shifting whole surfaces. What is left is compared in pairs too,
or looked up in a tree of the points, or in a distance transform: what costs least.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from mmssl.evaluation.distances import pairs, windows
from mmssl.evaluation.distances.bits import PackedMasks
from mmssl.evaluation.distances.shifts import settle_near

FEW = 2000  # points that are looked up without shifts, pairs or not
PAIRED = 4000  # points that pairs are planned for
MARGIN = 3  # times as many pairs as may be looked at, of which a plan may leave out the most
# Seconds for a pair, for a point in a tree of points and for one that is looked up there, for a
# pixel of a plane's distance transform and for a point that is read from one. Only their ratios
# count.
PAIR, PLANTED, FOUND, TRANSFORMED, READ = 8e-10, 1e-7, 5e-7, 2.2e-8, 5e-9


class Distances(NamedTuple):
    """Distances of points, each with the number of points that have it.

    Args:
        values: (k,) in any order.
        counts: (k,).
    """

    values: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> 'Distances':
        """Count each once."""
        return cls(values, np.ones(len(values), np.int64))

    def __add__(self, other: 'Distances') -> 'Distances':  # type: ignore[override]
        """Return those of both."""
        return Distances(*map(np.concatenate, zip(self, other, strict=True)))

    def mean(self) -> float:
        """Return the mean distance of the points."""
        return float(self.values @ self.counts / self.counts.sum())

    def percentile(self, share: float) -> float:
        """Return what `numpy.percentile` does for 100 times the share.

        Example:
            >>> Distances(np.array([3.0, 1.0]), np.array([1, 3])).percentile(0.9)
            2.4000000000000004
        """
        order = np.argsort(self.values)
        last = np.cumsum(self.counts[order])
        place = share * (int(last[-1]) - 1)
        low = int(place)
        at = np.searchsorted(last, (low, min(low + 1, last[-1] - 1)), side='right')
        (below, above), part = self.values[order[at]], place - low
        step = above - below
        # As numpy: exact at both ends.
        return float(below + step * part if part < 0.5 else above - step * (1 - part))


NONE = Distances.of(np.empty(0))


def distances_both_ways(surfaces: PackedMasks, sampling: np.ndarray) -> tuple[Distances, Distances]:
    """Return the distance from each point of a surface to the nearest of another, both ways.

    Args:
        surfaces: two masks, each with at least one pixel set.
        sampling: size of a pixel along each axis (ndim,).

    Returns:
        Distances from the first to the second, and from the second to the first.

    Example:
        >>> a, b = np.zeros((2, 6, 6), bool)
        >>> a[1, 1:4] = b[2, 2:4] = True
        >>> distances_both_ways(PackedMasks.of([a, b]), np.ones(2))[0].mean()
        1.1380711874576983
    """
    most = max(surfaces.counts())
    if most <= PAIRED and _even(sampling):
        plan = pairs.plan(surfaces.places(0), surfaces.places(1), surfaces.shape)
        if PAIR * plan.cost < (PLANTED + FOUND) * sum(surfaces.counts()):
            one, other = pairs.squared_both_ways(plan)
            return _from_squares(one, sampling), _from_squares(other, sampling)
    if most > FEW:
        found, left = _near_ones(surfaces, sampling)
    else:
        found, left = [NONE, NONE], [surfaces.places(way) for way in range(2)]
    for way, points in enumerate(left):
        if points.shape[1]:
            found[way] += _looked_up(points, surfaces, way, sampling)
    return found[0], found[1]


def _even(sampling: np.ndarray) -> bool:
    return bool(np.all(sampling == sampling[0]))


def _from_squares(squares: np.ndarray, sampling: np.ndarray) -> Distances:
    """Return distances from squares, whole numbers of pixels whose sides are even."""
    if squares.max() > 16 * len(squares):
        return Distances.of(np.sqrt(squares.astype(np.float64)) * sampling[0])
    counts = np.bincount(squares.astype(np.int64))
    have = np.flatnonzero(counts)
    return Distances(np.sqrt(have) * sampling[0], counts[have])


def _near_ones(
    surfaces: PackedMasks, sampling: np.ndarray
) -> tuple[list[Distances], list[np.ndarray]]:
    """Return the distances of points near the other surface, and the places of the others."""
    sides = tuple(sampling.tolist())
    histograms, left, reach = settle_near(surfaces, sides)
    found, rest = [Distances(*histogram) for histogram in histograms], []
    for way, number in enumerate(left.counts()):
        places = left.places(way) if number else np.empty((len(sides), 0), np.int64)
        if number and reach:
            values, outside = windows.settle_around(places, surfaces, way, reach, sides)
            found[way] += Distances.of(values)
            places = places[:, outside]
        rest.append(places)
    return found, rest


def _looked_up(
    points: np.ndarray, surfaces: PackedMasks, way: int, sampling: np.ndarray
) -> Distances:
    """Return the distances of points (ndim, k) of one surface to the other, the quickest way."""
    total, targets = points.shape[1], surfaces.counts()[1 - way]
    levels = surfaces.shape[0] if points.shape[0] == 3 else 1
    planted = PLANTED * targets + FOUND * total
    transformed = TRANSFORMED * float(np.prod(surfaces.shape)) + READ * total * levels
    least = min(planted, transformed)
    if _even(sampling) and PAIR * total * targets < MARGIN * least:
        plan = pairs.plan(points, surfaces.places(1 - way), surfaces.shape)
        if PAIR * plan.cost < least:
            return _from_squares(pairs.squared_both_ways(plan)[0], sampling)
    if planted < transformed:
        return Distances.of(_by_tree(points.T, surfaces.places(1 - way).T, sampling))
    return _by_transform(points, surfaces.mask(1 - way), sampling)


def _by_tree(own: np.ndarray, others: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    if _even(sampling):  # from whole numbers its distances are exact
        tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
        return tree.query(own)[0] * sampling[0]
    tree = cKDTree(others * sampling, balanced_tree=False, compact_nodes=False)
    _, index = tree.query(own * sampling)
    # Once more from whole numbers: the tree's are differences of products.
    return np.sqrt(np.square((own - others[index]) * sampling).sum(axis=1))


def _by_transform(points: np.ndarray, surface: np.ndarray, sampling: np.ndarray) -> Distances:
    if len(points) == 2 and _even(sampling):
        flat = np.ravel_multi_index(tuple(points), surface.shape)
        return _from_squares(_plane_distances(flat, surface), sampling)
    if len(points) == 3:
        for axis in range(3):
            plane = np.delete(sampling, axis)
            if plane[0] == plane[1]:
                order = [axis, *np.delete(range(3), axis)]
                levels = np.ascontiguousarray(surface.transpose(order))
                step = sampling[axis] / plane[0]
                squares = _stack_distances(points[order], levels, step)
                return Distances.of(np.sqrt(squares) * plane[0])
    return Distances.of(distance_transform_edt(~surface, sampling=sampling)[tuple(points)])


def _plane_distances(points: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Return the exact squared distance in pixels of each point to the nearest surface pixel.

    Args:
        points: flat indices (n,) into `surface`.
        surface: mask (H, W) with at least one pixel set.
    """
    background = np.ascontiguousarray(~surface).view(np.uint8)
    distance = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = distance.ravel().take(points).astype(np.float64)
    # The square is a whole number, so OpenCV's float32 root is undone exactly.
    return np.rint(distance * distance)


def _stack_distances(points: np.ndarray, surface: np.ndarray, step: float) -> np.ndarray:
    """Return the squared 3D distance of each point (3, k) to a surface, from exact 2D distances.

    The nearest surface point in slice z' of a point in slice z is at
    `d2(z', y, x) + (step (z - z'))^2`, and the minimum over z' is taken at the points only.
    """
    z, inside = points[0], np.ravel_multi_index(tuple(points[1:]), surface.shape[1:])
    nearest = np.full(z.size, np.inf)
    for level in np.flatnonzero(surface.any(axis=(1, 2))):
        squared = _plane_distances(inside, surface[level])
        np.minimum(nearest, squared + (step * (z - level)) ** 2, out=nearest)
    return nearest
