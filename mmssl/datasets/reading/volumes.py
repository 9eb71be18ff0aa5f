"""Slices out of files that hold one slice or a volume, whatever their format.

Axes are (slice, row, column), turned by `geometry`; files that do not say how they lie are taken
as they are. Nothing in a file is run. Files are opened for each read and closed again, so that they
can be read from threads and from forked workers.
"""

import threading
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import Choice, Stored, changed, holds_volumes, open_stored
from mmssl.datasets.reading.formats.stored import Where
from mmssl.datasets.reading.geometry import (
    CANONICAL,
    Axes,
    Geometry,
    Turn,
    canonical_turn,
    turn_onto,
)

_UNPACKING = threading.Lock()


class Source(NamedTuple):
    """A file and, where it is HDF5, the name of its dataset."""

    path: str
    key: str


def look_at(path: str, key: str, axes: Axes = CANONICAL, like: Source | None = None) -> Stored:
    """Return a volume as its file holds it; its header is read, no voxel.

    Args:
        path: the file, or the folder of a DICOM series.
        key: name of the dataset in an HDF5 file.
        axes: which frame or series is meant.
        like: the image, where the file is its mask: the series that is chosen is that of the image.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, has no such dataset or one of another kind.
    """
    if like is None or like.path == path:
        return open_stored(path, Choice(key, axes.frame, axes.series))
    found = open_stored(path, Choice(key, axes.frame))
    return _laid(found, look_at(*like, axes)) if holds_volumes(like.path) else found


@lru_cache(maxsize=1024)
def _laid(mask: Stored, image: Stored) -> Stored:
    return mask.laid_on(image)


def volume_shape(
    path: str, key: str, axes: Axes = CANONICAL, like: Source | None = None
) -> tuple[int, ...]:
    """Return the shape (H, W) or (Z, H, W) of a file's array; only its header is read.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        axes: how a volume is cut.
        like: the image, where the file is its mask.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, has no such dataset or one of another kind.
    """
    turn = volume_turn(path, key, axes, like)
    return turned_shape(look_at(path, key, axes, like), turn)


def turned_shape(stored: Stored, turn: Turn) -> tuple[int, ...]:
    """Return the shape (H, W) or (Z, H, W) in which a volume comes out."""
    shape = tuple(stored.shape[axis] for axis in turn.axes)
    return shape[1:] if stored.flat else shape


def volume_turn(path: str, key: str, axes: Axes = CANONICAL, like: Source | None = None) -> Turn:
    """Return how a file's stored axes become (slice, row, column), remembered for each file.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        axes: how a volume is cut.
        like: the image, where the file is its mask: the two come to lie on each other.

    Raises:
        DataError: mask and image lie on different grids.
    """
    if axes.geometry == 'stored':
        return Turn()
    when = (changed(path), changed(like.path) if like else None)
    return _turn(Source(path, key), axes, like, when)


@lru_cache(maxsize=4096)
def _turn(source: Source, axes: Axes, like: Source | None, when: tuple) -> Turn:
    stored = look_at(*source, axes, like)
    own = Geometry.of(stored)
    if like is None or like == source:
        return canonical_turn(own, axes.plane, stored.flat)
    if not holds_volumes(like.path):
        return turn_onto(own, Geometry(like.path, (1, 1, 1), {}), Turn())
    return turn_onto(own, Geometry.of(look_at(*like, axes)), volume_turn(*like, axes))


def volume_affine(path: str, key: str, axes: Axes = CANONICAL) -> np.ndarray | None:
    """Return what maps (column, row, slice) to RAS in mm, None where the file does not say it."""
    stored = look_at(path, key, axes)
    for affine in stored.affines.values():
        return volume_turn(path, key, axes).affine(affine, stored.shape)
    return None


def read_slice(
    path: str,
    key: str,
    index: int | None = None,
    axes: Axes = CANONICAL,
    like: Source | None = None,
) -> np.ndarray:
    """Return one slice (H, W), its values as stored.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        index: number of the slice in a volume, from 0; None where the file holds one slice.
        axes: how a volume is cut.
        like: the image, where the file is its mask.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, the slice is not there, or mask and image do not match.
    """
    turn = volume_turn(path, key, axes, like)
    stored = look_at(path, key, axes, like)
    place = _place(path, turned_shape(stored, turn), index)
    across = turn.axes[0]
    if turn.flips[0]:
        place = stored.shape[across] - 1 - place
    i, j, k = (place if axis == across else slice(None) for axis in range(3))
    part = _part(stored, (i, j, k), across)
    inside = part if turn.axes[1] < turn.axes[2] else part.T
    return inside[tuple(slice(None, None, -1 if flip else 1) for flip in turn.flips[1:])]


def _place(path: str, shape: tuple[int, ...], index: int | None) -> int:
    """Return the number of a slice in its array."""
    if len(shape) == 2:
        return 0
    index = 0 if index is None and shape[0] == 1 else index
    if index is None or not 0 <= index < shape[0]:
        raise DataError(
            f'{path} is a volume of {shape[0]} slices {shape[1:]}, slice {index} was asked '
            'for. Give one slice a file, or leave the group "slice" of case_pattern unmatched.'
        )
    return index


def read_volume(path: str, key: str, axes: Axes = CANONICAL) -> np.ndarray:
    """Return the whole array (H, W) or (Z, H, W), its values as stored."""
    stored = look_at(path, key, axes)
    volume = volume_turn(path, key, axes).apply(_whole(stored))
    return volume[0] if stored.flat else volume


def volume_limits(path: str, key: str, axes: Axes = CANONICAL) -> tuple[float, float]:
    """Return the smallest and largest value of a file's array, remembered for each file.

    Raises:
        DataError: the file is broken or holds NaN or infinity.
    """
    return _limits(path, key, axes._replace(geometry='stored', plane=None), changed(path))


@lru_cache(maxsize=4096)
def _limits(path: str, key: str, axes: Axes, when: tuple) -> tuple[float, float]:
    volume = read_volume(path, key, axes)
    low, high = float(volume.min()), float(volume.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f'{path} holds NaN or infinity. Replace these values.')
    return low, high


def file_spacing(path: str, key: str, axes: Axes = CANONICAL) -> tuple[float, ...] | None:
    """Return the size of a voxel in mm as the file states it, in the order of the turned axes.

    In HDF5 it is an attribute `spacing` of the dataset or the file, or a dataset `spacing`, of two
    (y, x) or three (z, y, x) numbers; None if there is none.

    Raises:
        DataError: the numbers are not two or three, or not positive.
    """
    sizes = look_at(path, key, axes).sizes
    if sizes is None:
        return None
    if len(sizes) not in (2, 3) or not all(np.isfinite(size) and size > 0 for size in sizes):
        raise DataError(
            f'{path} has spacing {list(sizes[::-1])}; give (y, x) or (z, y, x) in mm, all positive.'
        )
    full = (*sizes, 1.0)[:3]
    return tuple(full[axis] for axis in volume_turn(path, key, axes).axes)[-len(sizes) :]


def value_step(path: str, key: str, axes: Axes = CANONICAL, like: Source | None = None) -> float:
    """Return how far apart two neighbouring values of a scaled file are, 0 if not scaled."""
    return look_at(path, key, axes, like).step


def _part(stored: Stored, where: Where, across: int) -> np.ndarray:
    """Return a slice, of a file that is read as a whole out of the array that is remembered."""
    return stored.part(where) if across in stored.quick else _whole(stored)[where]


def _whole(stored: Stored) -> np.ndarray:
    """Return a whole array; one thread at a time, as neighbouring slices share a file."""
    if stored.quick == (0, 1, 2):
        return stored.array()
    with _UNPACKING:
        return _last_volumes(stored)


@lru_cache(maxsize=2)  # image and mask of the volume in use
def _last_volumes(stored: Stored) -> np.ndarray:
    return stored.array()
