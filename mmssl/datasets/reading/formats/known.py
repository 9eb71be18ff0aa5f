"""The formats of volumes, and which of them a file is, by its suffix and by what it holds."""

import os
import stat
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import dicom, hdf5, itk, nifti, tiff
from mmssl.datasets.reading.formats.stored import Choice, Stored

PICTURES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.gif', '.webp')
"""Suffixes of pictures; a TIFF of several pages is a volume."""


class Format(NamedTuple):
    """A format of volumes.

    Attributes:
        suffixes: the ends of its files' names, in lower case.
        open: look at a file.
        holds: whether a file of one of the suffixes is a volume, by what it holds; None if all are.
    """

    suffixes: tuple[str, ...]
    open: Callable[[str, Choice], Stored]
    holds: Callable[[str], bool] | None = None


FORMATS: dict[str, Format] = {
    'hdf5': Format(hdf5.SUFFIXES, hdf5.open_hdf5),
    'nifti': Format(nifti.SUFFIXES, nifti.open_nifti),
    'itk': Format(itk.SUFFIXES, itk.open_itk),
    'tiff': Format(tiff.SUFFIXES, tiff.open_tiff, tiff.has_pages),
    'dicom': Format(dicom.SUFFIXES, dicom.open_dicom),
}

VOLUME_SUFFIXES = tuple(
    suffix for known in FORMATS.values() for suffix in known.suffixes if suffix not in PICTURES
)


def holds_volumes(path: str) -> bool:
    """Return whether a file, which need not be there, is of a format of volumes."""
    return find_format(path) is not None


def find_format(path: str) -> Format | None:
    """Return the format of a file of volumes, None of a picture and of what is unknown.

    A folder counts as DICOM where DICOM files lie in it, as does such a file of any other name.
    """
    name = path.lower()
    if not os.path.isdir(path):
        for format_ in FORMATS.values():
            if name.endswith(format_.suffixes):
                return format_ if format_.holds is None or format_.holds(path) else None
        if name.endswith(PICTURES):
            return None
    return FORMATS['dicom'] if dicom.holds_dicom(path) else None


def open_stored(path: str, choice: Choice) -> Stored:
    """Look at a volume: its header is read, remembered while the file does not change, no voxel.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, of no format of volumes, or does not hold one volume of real
            numbers.
    """
    return _open(path, choice, changed(path))


@lru_cache(maxsize=1024)
def _open(path: str, choice: Choice, changed: tuple[int, int]) -> Stored:
    found = find_format(path)
    if found is None:
        raise DataError(
            f'{path} is of no format of volumes (known: {", ".join(VOLUME_SUFFIXES)}). Save it in '
            'one of them.'
        )
    return found.open(path, choice)


def changed(path: str) -> tuple[int, int]:
    """Return when a file, or the last one of a folder, was written, and how much there is.

    Both are 0 if it is not there.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            return found.st_mtime_ns, found.st_size
        with os.scandir(path) as entries:
            times = [entry.stat().st_mtime_ns for entry in entries]
    except OSError:
        return 0, 0
    return max(times, default=0), len(times)
