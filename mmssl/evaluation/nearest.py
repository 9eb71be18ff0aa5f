"""How far the points of one surface are from another: exact, and quick whatever they look like.

Noisy masks have many surface points, most of which lie beside one of the other surface: those are
settled by shifting whole surfaces, 64 pixels in a word, one distance after the other. What is left
is looked up in a tree of the points, or in a distance transform where there are too many.
"""

import itertools
from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

REACH = 16  # pixels up to which shifts are tried
FEW = 2000  # points that a tree of points serves at once
WORD = 64
# Seconds for a point in a tree of points and for one that is looked up there, for a pixel of a
# plane's distance transform and for a point that is read from one. Only their ratios count.
PLANTED, FOUND, TRANSFORMED, READ = 1e-7, 5e-7, 2.2e-8, 5e-9


def distances_both_ways(
    one: np.ndarray, other: np.ndarray, sampling: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance from each point of a surface to the nearest of another, both ways.

    Args:
        one: mask (H, W) or (D, H, W) with at least one pixel set.
        other: mask of the same shape with at least one pixel set.
        sampling: size of a pixel along each axis (ndim,).

    Returns:
        Distances from `one` to `other`, and from `other` to `one`, each in any order.

    Example:
        >>> a, b = np.zeros((2, 6, 6), bool)
        >>> a[1, 1:4] = b[2, 2:4] = True
        >>> sorted(distances_both_ways(a, b, np.ones(2))[0].tolist())
        [1.0, 1.0, 1.4142135623730951]
    """
    ways = ((one, other), (other, one))
    settled: list[np.ndarray] = [np.empty(0), np.empty(0)]
    left: list[np.ndarray | None] = [one, other]
    if max(np.count_nonzero(one), np.count_nonzero(other)) > FEW:
        settled, left = _by_shifts(one, other, tuple(sampling.tolist()))
    found = []
    for done, rest, (_, surface) in zip(settled, left, ways, strict=True):
        if rest is not None:
            done = np.concatenate((done, _looked_up(rest, surface, sampling)))
        found.append(done)
    return found[0], found[1]


def _looked_up(points: np.ndarray, surface: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    """Return the distances of points, in a tree or from a transform, whichever is quicker."""
    total, targets = int(np.count_nonzero(points)), int(np.count_nonzero(surface))
    levels = len(surface) if surface.ndim == 3 else 1
    planted = PLANTED * targets + FOUND * total
    if planted < TRANSFORMED * surface.size + READ * total * levels:
        return _by_tree(points, surface, sampling)
    return _by_transform(points, surface, sampling)


def _by_shifts(
    one: np.ndarray, other: np.ndarray, sampling: tuple[float, ...]
) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    """Settle the points of two surfaces that lie near the other one, both ways at once.

    It goes on to the next whole distance while one settles a quarter of the points that were left.

    Returns:
        For each way, distances of settled points, and the mask of the others, None if there are
        none.
    """
    packed = [_packed(one), _packed(other)]
    left, target = np.stack(packed), np.stack(packed[::-1])
    moved = {0: target}
    count = _counts(left)
    distances, counts = [], []
    for steps in _steps(sampling):
        before = sum(count)
        for distance, offsets in steps:
            near = np.zeros_like(left)
            for *shift, along in offsets:
                if along not in moved:
                    moved[along] = _along_rows(target, along)
                _add_shifted(near, moved[along], [0, *shift])
            left &= ~near
            remaining = _counts(left)
            distances.append(distance)
            counts.append([a - b for a, b in zip(count, remaining, strict=True)])
            count = remaining
            if not any(count):
                break
        if 4 * sum(count) > 3 * before or not any(count):
            break
    settled = [np.repeat(distances, [step[way] for step in counts]) for way in range(2)]
    width = one.shape[-1]
    return settled, [_unpacked(left[way], width) if count[way] else None for way in range(2)]


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


def _packed(mask: np.ndarray) -> np.ndarray:
    """Return a mask (..., W) as words of 64 pixels (..., ceil(W / 64))."""
    packed = np.packbits(mask, axis=-1, bitorder='little')
    full = np.zeros((*mask.shape[:-1], -(-mask.shape[-1] // WORD) * 8), np.uint8)
    full[..., : packed.shape[-1]] = packed
    return full.view('<u8')


def _unpacked(words: np.ndarray, width: int) -> np.ndarray:
    bits = np.unpackbits(words.view(np.uint8), axis=-1, count=width, bitorder='little')
    return bits.view(bool)


def _along_rows(words: np.ndarray, by: int) -> np.ndarray:
    """Return what is `by` pixels to the left or to the right, less than a word."""
    bits, rest = np.uint64(by), np.uint64(WORD - by)
    both = (words << bits) | (words >> bits)
    both[..., 1:] |= words[..., :-1] >> rest
    both[..., :-1] |= words[..., 1:] << rest
    return both


def _add_shifted(near: np.ndarray, words: np.ndarray, shift: list[int]) -> None:
    """Mark what is `shift` rows (and slices) away, in all directions."""
    ways = [((slice(n, None), slice(None, -n)), (slice(None, -n), slice(n, None))) if n
            else ((slice(None), slice(None)),) for n in shift]  # fmt: skip
    for pairs in itertools.product(*ways):
        place = near[tuple(to for to, _ in pairs)]
        np.bitwise_or(place, words[tuple(of for _, of in pairs)], out=place)


def _counts(words: np.ndarray) -> list[int]:
    """Return how many bits are set in each of several arrays of words."""
    if hasattr(np, 'bitwise_count'):  # numpy 2
        bits = np.bitwise_count(words).reshape(len(words), -1)
        return [int(number) for number in bits.sum(axis=1)]
    return [int.from_bytes(part.tobytes(), 'little').bit_count() for part in words]


def _by_tree(points: np.ndarray, surface: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    own, others = _places(points), _places(surface)
    if np.all(sampling == sampling[0]):  # from whole numbers its distances are exact
        tree = cKDTree(others, balanced_tree=False, compact_nodes=False)
        return tree.query(own)[0] * sampling[0]
    tree = cKDTree(others * sampling, balanced_tree=False, compact_nodes=False)
    _, index = tree.query(own * sampling)
    # Once more from whole numbers: the tree's are differences of products.
    return np.sqrt(np.square((own - others[index]) * sampling).sum(axis=1))


def _places(mask: np.ndarray) -> np.ndarray:
    """Return the coordinates of a mask's points (n, ndim), faster than `numpy.argwhere`."""
    flat = np.flatnonzero(mask)
    places = np.empty((len(flat), mask.ndim))
    for axis in range(mask.ndim - 1, 0, -1):
        flat, places[:, axis] = np.divmod(flat, mask.shape[axis])
    places[:, 0] = flat
    return places


def _by_transform(points: np.ndarray, surface: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    if points.ndim == 2 and sampling[0] == sampling[1]:
        squared = _plane_distances(np.flatnonzero(points), surface)
        return np.sqrt(squared) * sampling[0]
    if points.ndim == 3:
        for axis in range(3):
            plane = np.delete(sampling, axis)
            if plane[0] == plane[1]:
                own, others = (
                    np.ascontiguousarray(np.moveaxis(s, axis, 0)) for s in (points, surface)
                )
                step = sampling[axis] / plane[0]
                return np.sqrt(_stack_distances(own, others, step)) * plane[0]
    return distance_transform_edt(~surface, sampling=sampling)[points]


def _plane_distances(points: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Return the exact squared distance in pixels of each point to the nearest surface pixel.

    Args:
        points: flat indices (n,) into `surface`.
        surface: mask (H, W) with at least one pixel set.
    """
    background = (~surface).view(np.uint8)
    distance = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = distance.ravel().take(points).astype(np.float64)
    # The square is a whole number, so OpenCV's float32 root is undone exactly.
    return np.rint(distance * distance)


def _stack_distances(points: np.ndarray, surface: np.ndarray, step: float) -> np.ndarray:
    """Return the squared 3D distance of each point to a surface, from exact 2D distances.

    The nearest surface point in slice z' of a point in slice z is at
    `d2(z', y, x) + (step (z - z'))^2`, and the minimum over z' is taken at the points only.
    """
    z, inside = np.divmod(np.flatnonzero(points), points[0].size)
    nearest = np.full(z.size, np.inf)
    for level in np.flatnonzero(surface.any(axis=(1, 2))):
        squared = _plane_distances(inside, surface[level])
        np.minimum(nearest, squared + (step * (z - level)) ** 2, out=nearest)
    return nearest
