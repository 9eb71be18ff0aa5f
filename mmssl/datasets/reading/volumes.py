"""Slices out of HDF5 and NIfTI files, which hold one slice (2-D) or a volume (3-D).

Axes are (slice, row, column), turned by `geometry`; HDF5 files, which do not say how they lie, are
taken as they are. Both formats hold numbers only: nothing in a file is run. Files are opened for
each read and closed again, so that they can be read from threads and from forked workers.
"""

import os
import threading
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmssl.datasets.reading.containers import (
    HDF5_SUFFIXES,
    NIFTI_SUFFIXES,
    broken,
    open_hdf5,
    open_nifti,
)
from mmssl.datasets.reading.errors import DataError
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


def volume_shape(
    path: str, key: str, axes: Axes = CANONICAL, like: Source | None = None
) -> tuple[int, ...]:
    """Return the shape (H, W) or (Z, H, W) of a file's array; only its header is read.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file; a NIfTI file has one array.
        axes: how a volume is cut.
        like: the image, where the file is its mask.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, has no such dataset or one of another kind.
    """
    if path.lower().endswith(HDF5_SUFFIXES):
        with open_hdf5(path, key) as data:
            return data.shape
    return _turned_shape(open_nifti(path)[1], volume_turn(path, key, axes, like))


def _turned_shape(stored: tuple[int, ...], turn: Turn) -> tuple[int, ...]:
    full = (*stored, 1)[:3]
    shape = tuple(full[axis] for axis in turn.axes)
    return shape if len(stored) == 3 else shape[1:]


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
    changed = (_changed(path), _changed(like.path) if like else 0)
    return _turn(Source(path, key), axes, like, changed)


@lru_cache(maxsize=4096)
def _turn(source: Source, axes: Axes, like: Source | None, changed: tuple) -> Turn:
    own = _geometry(source)
    if like is None or like == source:
        flat = own.affines and len(open_nifti(source.path)[1]) == 2
        return canonical_turn(own, axes.plane, bool(flat))
    return turn_onto(own, _geometry(like), volume_turn(*like, axes))


def _geometry(source: Source) -> Geometry:
    """Return what a file says of its grid; only NIfTI says more than its shape."""
    if not source.path.lower().endswith(NIFTI_SUFFIXES):
        return Geometry(source.path, (1, 1, 1), {})
    image, shape = open_nifti(source.path)
    with broken(source.path, 'NIfTI'):
        forms = {'sform': image.get_sform(coded=True), 'qform': image.get_qform(coded=True)}
    affines = {name: affine for name, (affine, code) in forms.items() if code}
    return Geometry(source.path, (*shape, 1)[:3], affines)


def volume_affine(path: str, key: str, axes: Axes = CANONICAL) -> np.ndarray | None:
    """Return what maps (column, row, slice) to RAS in mm, None where the file does not say it."""
    geometry = _geometry(Source(path, key))
    for affine in geometry.affines.values():
        return volume_turn(path, key, axes).affine(affine, geometry.shape)
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
    if path.lower().endswith(HDF5_SUFFIXES):
        if like is not None:
            volume_turn(path, key, axes, like)
        with open_hdf5(path, key) as data:
            place = _place(path, data.shape, index)
            with broken(path, 'HDF5'):
                return data[...] if place is None else data[place]
    image, shape = open_nifti(path)
    turn = volume_turn(path, key, axes, like)
    turned = _turned_shape(shape, turn)
    place = _place(path, turned, index) or 0
    across = turn.axes[0]
    if turn.flips[0]:
        place = (*shape, 1)[across] - 1 - place
    where: list[Any] = [slice(None)] * 3
    where[across] = place
    if path.lower().endswith('.gz'):
        part = _unpacked(path)[tuple(where)]
    else:
        where = where[: len(image.shape)] + [0] * (len(image.shape) - 3)
        with broken(path, 'NIfTI'):
            part = np.asanyarray(image.dataobj[tuple(where)])
    inside = part if turn.axes[1] < turn.axes[2] else part.T
    return inside[tuple(slice(None, None, -1 if flip else 1) for flip in turn.flips[1:])]


def _place(path: str, shape: tuple[int, ...], index: int | None) -> int | None:
    """Return the number of a slice in its array, None where the array is the slice."""
    if len(shape) == 2:
        return None
    index = 0 if index is None and shape[0] == 1 else index
    if index is None or not 0 <= index < shape[0]:
        raise DataError(
            f'{path} is a volume of {shape[0]} slices {shape[1:]}, slice {index} was asked '
            'for. Give one slice a file, or leave the group "slice" of case_pattern unmatched.'
        )
    return index


def read_volume(path: str, key: str, axes: Axes = CANONICAL) -> np.ndarray:
    """Return the whole array (H, W) or (Z, H, W), its values as stored."""
    if path.lower().endswith(HDF5_SUFFIXES):
        with open_hdf5(path, key) as data, broken(path, 'HDF5'):
            return data[...]
    volume = volume_turn(path, key, axes).apply(_unpacked(path))
    return volume if len(open_nifti(path)[1]) == 3 else volume[0]


def volume_limits(path: str, key: str) -> tuple[float, float]:
    """Return the smallest and largest value of a file's array, remembered for each file.

    Raises:
        DataError: the file is broken or holds NaN or infinity.
    """
    return _limits(path, key, _changed(path))


@lru_cache(maxsize=4096)
def _limits(path: str, key: str, changed: int) -> tuple[float, float]:
    volume = read_volume(path, key, Axes('stored'))
    low, high = float(volume.min()), float(volume.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f'{path} holds NaN or infinity. Replace these values.')
    return low, high


def file_spacing(path: str, key: str, axes: Axes = CANONICAL) -> tuple[float, ...] | None:
    """Return the size of a voxel in mm as the file states it, in the order of the turned axes.

    NIfTI has it in its header. In HDF5 it is an attribute `spacing` of the dataset or the file,
    or a dataset `spacing`, of two (y, x) or three (z, y, x) numbers; None if there is none.

    Raises:
        DataError: the numbers are not two or three, or not positive.
    """
    if path.lower().endswith(NIFTI_SUFFIXES):
        image, shape = open_nifti(path)
        unit = {'meter': 1000.0, 'micron': 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        sizes = (*(unit * float(size) for size in image.header.get_zooms()[: len(shape)]), 1.0)
        found = [sizes[axis] for axis in volume_turn(path, key, axes).axes][-len(shape) :]
    else:
        with open_hdf5(path, key) as data:
            file = data.file
            found = data.attrs.get('spacing', file.attrs.get('spacing'))
            if found is None and 'spacing' in file:
                found = file['spacing'][...]
            if found is None:
                return None
    spacing = np.asarray(found, np.float64).ravel()
    if len(spacing) not in (2, 3) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise DataError(
            f'{path} has spacing {spacing.tolist()}; give (y, x) or (z, y, x) in mm, all positive.'
        )
    return tuple(spacing.tolist())


def value_step(path: str) -> float:
    """Return how far apart two neighbouring values of a scaled NIfTI file are, 0 if not scaled."""
    if not path.lower().endswith(NIFTI_SUFFIXES):
        return 0.0
    slope = open_nifti(path)[0].dataobj.slope
    whole = open_nifti(path)[0].get_data_dtype().kind in 'iu'
    return abs(float(slope)) if whole and slope != 1 else 0.0


def _unpacked(path: str) -> np.ndarray:
    """Return a whole NIfTI array; one thread at a time, as neighbouring slices share a file."""
    with _UNPACKING:
        return _last_volumes(path, _changed(path))


def _changed(path: str) -> int:
    """Return when a file was last written, 0 if it is not there."""
    return os.stat(path).st_mtime_ns if os.path.isfile(path) else 0


@lru_cache(maxsize=2)  # image and mask of the volume in use
def _last_volumes(path: str, changed: int) -> np.ndarray:
    image, shape = open_nifti(path)
    with broken(path, 'NIfTI'):
        return np.asanyarray(image.dataobj).reshape((*shape, 1)[:3])
