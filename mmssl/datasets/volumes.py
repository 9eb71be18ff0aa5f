"""Slices out of HDF5 and NIfTI files, which hold one slice (2-D) or a volume (3-D).

Axes are those of SimpleITK: (z, y, x), so a slice is (y, x) = (H, W). Both formats hold numbers
only: nothing in a file is run. Files are opened for each read and closed again, so that they can
be read from threads and from forked workers.
"""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from .errors import DataError

HDF5_SUFFIXES = ('.h5', '.hdf5')
NIFTI_SUFFIXES = ('.nii', '.nii.gz')
VOLUME_SUFFIXES = HDF5_SUFFIXES + NIFTI_SUFFIXES

_UNPACKING = threading.Lock()


def holds_volumes(path: str) -> bool:
    """Return whether a file is HDF5 or NIfTI, by its suffix."""
    return path.lower().endswith(VOLUME_SUFFIXES)


def volume_shape(path: str, key: str) -> tuple[int, ...]:
    """Return the shape (H, W) or (Z, H, W) of a file's array; only its header is read.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file; a NIfTI file has one array.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, has no such dataset or one of another kind.
    """
    if path.lower().endswith(HDF5_SUFFIXES):
        with _hdf5(path, key) as data:
            return data.shape
    return _nifti(path)[1]


def read_slice(path: str, key: str, index: int | None = None) -> np.ndarray:
    """Return one slice (H, W) as stored.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        index: number of the slice in a volume, from 0; None where the file holds one slice.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, or the slice is not there.
    """
    if path.lower().endswith(HDF5_SUFFIXES):
        with _hdf5(path, key) as data:
            place = _place(path, data.shape, index)
            with _broken(path, 'HDF5'):
                return data[place]
    image, shape = _nifti(path)
    place = _place(path, shape, index)
    if path.lower().endswith('.gz'):
        return _unpacked(path)[place]
    with _broken(path, 'NIfTI'):
        part = image.dataobj if place is ... else image.dataobj[:, :, place]
        return np.asanyarray(part).reshape(shape[:-3:-1]).T


def _place(path: str, shape: tuple[int, ...], index: int | None) -> Any:
    """Return what a slice is called inside its array."""
    if len(shape) == 2:
        return ...
    index = 0 if index is None and shape[0] == 1 else index
    if index is None or not 0 <= index < shape[0]:
        raise DataError(
            f'{path} is a volume of {shape[0]} slices {shape[1:]}, slice {index} was asked '
            'for. Give one slice a file, or leave the group "slice" of case_pattern unmatched.'
        )
    return index


def read_volume(path: str, key: str) -> np.ndarray:
    """Return the whole array (H, W) or (Z, H, W) as stored."""
    if path.lower().endswith(HDF5_SUFFIXES):
        with _hdf5(path, key) as data, _broken(path, 'HDF5'):
            return data[...]
    return _unpacked(path)


def volume_limits(path: str, key: str) -> tuple[float, float]:
    """Return the smallest and largest value of a file's array, remembered for each file.

    Raises:
        DataError: the file is broken or holds NaN or infinity.
    """
    return _limits(path, key, _changed(path))


@lru_cache(maxsize=4096)
def _limits(path: str, key: str, changed: int) -> tuple[float, float]:
    volume = read_volume(path, key)
    low, high = float(volume.min()), float(volume.max())
    if not np.isfinite([low, high]).all():
        raise DataError(f'{path} holds NaN or infinity. Replace these values.')
    return low, high


def file_spacing(path: str, key: str) -> tuple[float, ...] | None:
    """Return the size of a voxel in mm as the file states it, in the order of the axes.

    NIfTI has it in its header. In HDF5 it is an attribute `spacing` of the dataset or the file,
    or a dataset `spacing`, of two (y, x) or three (z, y, x) numbers; None if there is none.

    Raises:
        DataError: the numbers are not two or three, or not positive.
    """
    if path.lower().endswith(NIFTI_SUFFIXES):
        image, shape = _nifti(path)
        unit = {'meter': 1000.0, 'micron': 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
        found = [unit * float(size) for size in image.header.get_zooms()[: len(shape)][::-1]]
    else:
        with _hdf5(path, key) as data:
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


@contextmanager
def _hdf5(path: str, key: str) -> Iterator[Any]:
    """Open a dataset of an HDF5 file."""
    import h5py

    try:
        file = h5py.File(path, 'r')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist.') from None
    except OSError as error:
        raise DataError(f'{path} cannot be opened as HDF5 ({error}). Copy it again.') from None
    with file:
        data = file.get(key)
        if not isinstance(data, h5py.Dataset):
            raise DataError(
                f'{path} has no dataset "{key}" (it has: {", ".join(file) or "nothing"}). Set '
                'image_key or mask_key to the right name, or write the file again.'
            )
        if data.ndim not in (2, 3) or data.dtype.kind not in 'biuf' or 0 in data.shape:
            raise DataError(
                f'{path}: dataset "{key}" has shape {data.shape} and type {data.dtype}; a slice '
                '(H, W) or volume (Z, H, W) of numbers is needed.'
            )
        yield data


@contextmanager
def _broken(path: str, kind: str) -> Iterator[None]:
    """Turn what a reader raises half-way through a file into one clear error."""
    try:
        yield
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f'{path} cannot be read as {kind} ({error}). Copy it again.') from None


def _nifti(path: str) -> tuple[Any, tuple[int, ...]]:
    """Open a NIfTI file, and return it with its shape (H, W) or (Z, H, W)."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist.')
    try:
        with _broken(path, 'NIfTI'):
            image = nibabel.Nifti1Image.from_filename(path)
    except (ImageFileError, HeaderDataError, WrapStructError) as error:
        raise DataError(f'{path} cannot be opened as NIfTI ({error}). Copy it again.') from None
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) or image.get_data_dtype().kind not in 'biuf' or 0 in shape:
        raise DataError(
            f'{path} has shape {image.shape} and type {image.get_data_dtype()}; a slice (x, y) or '
            'volume (x, y, z) of numbers is needed. Write each frame into a file of its own.'
        )
    return image, shape[::-1]


def _unpacked(path: str) -> np.ndarray:
    """Return a whole NIfTI array; one thread at a time, as neighbouring slices share a file."""
    with _UNPACKING:
        return _last_volumes(path, _changed(path))


def _changed(path: str) -> int:
    """Return when a file was last written, 0 if it is not there."""
    return os.stat(path).st_mtime_ns if os.path.isfile(path) else 0


@lru_cache(maxsize=2)  # image and mask of the volume in use
def _last_volumes(path: str, changed: int) -> np.ndarray:
    image, shape = _nifti(path)
    with _broken(path, 'NIfTI'):
        return np.asanyarray(image.dataobj).reshape(shape[::-1]).T
