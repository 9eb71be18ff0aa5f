"""HDF5, of which one dataset is a slice (row, column) or a volume (slice, row, column)."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.stored import (
    Choice,
    Stored,
    Where,
    broken,
    check_size,
    three,
)

SUFFIXES = ('.h5', '.hdf5')


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredHdf5(Stored):
    """A dataset of an HDF5 file, which says its spacing at most.

    Attributes:
        key: name of the dataset.
    """

    kind = 'hdf5'

    key: str

    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis."""
        with _dataset(self.path, self.key) as data, broken(self.path, 'HDF5'):
            found = data[where[1::-1] if self.flat else where[::-1]].T
        return found[..., None] if self.flat and isinstance(where[2], slice) else found

    def header(self) -> dict[str, Any]:
        """Return the attributes of the file and of the dataset."""
        with _dataset(self.path, self.key) as data:
            return {**data.file.attrs, **data.attrs}


def open_hdf5(path: str, choice: Choice) -> StoredHdf5:
    """Look at a dataset of an HDF5 file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, has no such dataset or one of another kind.
    """
    with _dataset(path, choice.key) as data:
        return StoredHdf5(
            path=path,
            shape=three(data.shape[::-1]),
            dtype=data.dtype,
            flat=data.ndim == 2,
            sizes=_sizes(data),
            quick=(0, 1, 2),
            key=choice.key,
        )


@contextmanager
def _dataset(path: str, key: str) -> Iterator[Any]:
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
        if data.file.filename != file.filename or data.external or data.is_virtual:
            raise DataError(
                f'{path}: dataset "{key}" lies in another file. Copy it into this one (read '
                'and write it again).'
            )
        if data.ndim not in (2, 3) or data.dtype.kind not in 'biuf' or 0 in data.shape:
            raise DataError(
                f'{path}: dataset "{key}" has shape {data.shape} and type {data.dtype}; a slice '
                '(H, W) or volume (Z, H, W) of real numbers is needed. Write it as such.'
            )
        check_size(path, math.prod(data.shape) * data.dtype.itemsize, os.path.getsize(path))
        yield data


def _sizes(data: Any) -> tuple[float, ...] | None:
    """Return the attribute `spacing` of the dataset or the file, or the dataset `spacing`."""
    file = data.file
    found = data.attrs.get('spacing', file.attrs.get('spacing'))
    if found is None and 'spacing' in file:
        found = file['spacing'][...]
    return None if found is None else tuple(np.asarray(found, np.float64).ravel()[::-1].tolist())
