"""Opening HDF5 and NIfTI files: what they hold is looked at before a pixel is read."""

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmssl.datasets.reading.errors import DataError, check_file

HDF5_SUFFIXES = ('.h5', '.hdf5')
NIFTI_SUFFIXES = ('.nii', '.nii.gz')
VOLUME_SUFFIXES = HDF5_SUFFIXES + NIFTI_SUFFIXES

# What a byte of a packed file can stand for at most, and from what size on it is asked.
_DEFLATE, _LARGE = 1100, 2**30


def holds_volumes(path: str) -> bool:
    """Return whether a file is HDF5 or NIfTI, by its suffix."""
    return path.lower().endswith(VOLUME_SUFFIXES)


@contextmanager
def open_hdf5(path: str, key: str) -> Iterator[Any]:
    """Open a dataset of an HDF5 file."""
    import h5py

    check_file(path)
    try:
        file = h5py.File(path, 'r')
    except OSError as error:
        raise DataError(f'{path} cannot be opened as HDF5 ({error}). Copy it again.') from None
    with file:
        data = file.get(key)
        if not isinstance(data, h5py.Dataset):
            names: list[str] = []
            file.visititems(
                lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
            )
            raise DataError(
                f'{path} has no dataset "{key}" (it has: {", ".join(names) or "nothing"}). Set '
                'image_key or mask_key to the right name, or write the file again.'
            )
        if data.ndim not in (2, 3) or data.dtype.kind not in 'biuf' or 0 in data.shape:
            raise DataError(
                f'{path}: dataset "{key}" has shape {data.shape} and type {data.dtype}; a slice '
                '(H, W) or volume (Z, H, W) of real numbers is needed. Write it as such.'
            )
        _check_size(path, math.prod(data.shape) * data.dtype.itemsize, os.path.getsize(path))
        yield data


@contextmanager
def broken(path: str, kind: str) -> Iterator[None]:
    """Turn what a reader raises half-way through a file into one clear error."""
    try:
        yield
    except (OSError, EOFError, ValueError, IndexError, MemoryError, zlib.error) as error:
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be read as {kind} ({said}). Copy it again.') from None


def _check_size(path: str, announced: int, held: int) -> None:
    """Refuse a header that announces more than the file can hold, before memory is taken."""
    if announced > _LARGE and announced > _DEFLATE * held:
        raise DataError(
            f'{path} announces {announced / 1e9:.1f} GB of voxels but cannot hold them in '
            f'{held} bytes. Copy it again.'
        )


def open_nifti(path: str) -> tuple[Any, tuple[int, ...]]:
    """Open a NIfTI file, and return it with the shape (x, y) or (x, y, z) in which it is stored."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    check_file(path)
    try:
        with broken(path, 'NIfTI'):
            image = nibabel.load(path)
    except (ImageFileError, HeaderDataError, WrapStructError) as error:
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be opened as NIfTI ({said}). Copy it again.') from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise DataError(
            f'{path} is a file of {type(image).__name__}, which does not say how it lies. Save it '
            'as NIfTI.'
        )
    shape = tuple(int(size) for size in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    kind = image.get_data_dtype()
    if len(shape) not in (2, 3) or kind.kind not in 'biuf' or 0 in shape:
        raise DataError(
            f'{path} has shape {image.shape} and type {kind}; a slice (x, y) or volume (x, y, z) '
            'of real numbers is needed. Write each frame into a file of its own '
            '(nibabel.four_to_three(image)).'
        )
    _check_size(path, math.prod(shape) * kind.itemsize, os.path.getsize(path))
    return image, shape
