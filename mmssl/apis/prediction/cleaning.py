"""What is put right in a mask after the network: specks, holes, all but the largest piece."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

ALL = 'all'


@dataclass(frozen=True)
class Cleaning:
    """Rules for the connected components of each part; neighbours touch at corners, too.

    Args:
        largest: parts of which only the largest component stays; `all` means every part.
        fill_holes: parts whose holes are filled: what the background cannot reach.
        min_size: part to the smallest size of a component that stays, in mm^3 of a volume and mm^2
            of a picture; the key `all` is for parts that are not named. Where the spacing is
            unknown it is in voxels or pixels.

    Example:
        >>> mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], np.uint8)
        >>> Cleaning(largest=['all'])(mask, {'lung': [1]}, None).tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """

    largest: Sequence[str] = ()
    fill_holes: Sequence[str] = ()
    min_size: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.largest or self.fill_holes or self.min_size)

    def check(self, parts: Mapping[str, Sequence[int]]) -> None:
        """Refuse a part that there is not.

        Raises:
            ValueError: a rule names it.
        """
        for name in (*self.largest, *self.fill_holes, *self.min_size):
            if name not in parts and name != ALL:
                raise ValueError(
                    f'There is no part "{name}" to clean (known: {", ".join(parts)}, or all).'
                )

    def __call__(
        self,
        classes: np.ndarray,
        parts: Mapping[str, Sequence[int]],
        spacing: Sequence[float] | None,
    ) -> np.ndarray:
        """Return a cleaned mask.

        A part is a union of classes, and parts may lie within each other: what leaves a part
        becomes the class that is in the same other parts, background if there is none.

        Args:
            classes: class ids (H, W) or (Z, H, W), uint8.
            parts: name of each part to its classes.
            spacing: size of a voxel in mm, in the order of the axes; None where it is unknown.
        """
        voxel = 1.0 if spacing is None else float(np.prod(spacing[-classes.ndim :]))
        whole = classes.copy()
        where = _box(whole)  # outside of it there is only background
        cleaned = whole[where]
        for name, ids in parts.items():
            mask = members(cleaned, ids)
            kept = self._kept(mask, name, voxel)
            if kept is not mask:
                _move(cleaned, mask & ~kept, name, parts, inside=False)
            if self._asked(self.fill_holes, name):
                mask = members(cleaned, ids)
                holes = ndimage.binary_fill_holes(mask) & ~mask
                _move(cleaned, holes, name, parts, inside=True)
        return whole

    @staticmethod
    def _asked(rule: Sequence[str], name: str) -> bool:
        return name in rule or ALL in rule

    def _kept(self, mask: np.ndarray, name: str, voxel: float) -> np.ndarray:
        """Return the components of a part that stay."""
        smallest = self.min_size.get(name, self.min_size.get(ALL, 0.0))
        largest = self._asked(self.largest, name)
        if not (smallest or largest) or not mask.any():
            return mask
        numbers, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
        sizes = counts(numbers, count + 1)
        stays = sizes * voxel >= smallest
        stays[0] = False
        if largest:
            stays &= np.arange(count + 1) == 1 + sizes[1:].argmax()
        return np.stack([stays[part] for part in numbers])


def members(classes: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Return where an array has one of some class ids; slice by slice, as indexing takes memory."""
    table = np.zeros(256, bool)
    table[[*ids]] = True
    return np.stack([table[part] for part in classes])


def counts(numbers: np.ndarray, length: int) -> np.ndarray:
    """Return how often each number below `length` is there; slice by slice."""
    found = np.zeros(length, np.int64)
    for part in numbers:
        found += np.bincount(part.ravel(), minlength=length)
    return found


def _box(classes: np.ndarray) -> tuple[slice, ...]:
    """Return the smallest box that has all that is not background."""
    found = []
    for axis in range(classes.ndim):
        others = tuple(other for other in range(classes.ndim) if other != axis)
        there = np.flatnonzero(classes.any(others))
        found.append(slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 1))
    return tuple(found)


def _move(
    classes: np.ndarray,
    where: np.ndarray,
    name: str,
    parts: Mapping[str, Sequence[int]],
    inside: bool,
) -> None:
    """Take voxels into a part, or out of it, by the class that says just this; in place."""
    membership = dict(_memberships(parts))
    target = np.arange(256, dtype=np.uint8)
    for value, of in membership.items():
        wanted = of | {name} if inside else of - {name}
        found = next((c for c, other in membership.items() if other == wanted), None)
        # What lies in a hole and is of a part that this one does not go with stays.
        target[value] = value if found is None and inside else found or 0
    for part, mask in zip(classes, where, strict=True):
        part[mask] = target[part[mask]]


def _memberships(parts: Mapping[str, Sequence[int]]) -> Iterator[tuple[int, frozenset[str]]]:
    for value in sorted({0, *(i for ids in parts.values() for i in ids)}):
        yield value, frozenset(name for name, ids in parts.items() if value in ids)
