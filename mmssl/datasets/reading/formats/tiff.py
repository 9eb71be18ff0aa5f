"""TIFF of several pages, by tifffile; a TIFF of one page is a picture."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from PIL import TiffImagePlugin

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.stored import (
    Choice,
    Stored,
    Where,
    check_size,
    choose_frame,
    library,
)

SUFFIXES = ('.tif', '.tiff')
ORIENTATION = 274


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTiff(Stored):
    """Pages of a TIFF; axes are (column, row, page).

    Attributes:
        pages: number of the page of each slice.
    """

    kind = 'tiff'

    pages: tuple[int, ...]

    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis; only pages in question are read."""
        page, plane = where[2], self.shape[1::-1]
        chosen = list(self.pages[page]) if isinstance(page, slice) else [self.pages[page]]
        with _opened(self.path) as file:
            series = file.series[0]
            if len(series.pages) > max(chosen):
                found = [series.pages[number].asarray().reshape(plane) for number in chosen]
            else:  # ImageJ describes one page, and the others lie behind it
                found = list(series.asarray().reshape(-1, *plane)[chosen])
        cut = np.stack(found)[:, where[1], where[0]]
        return (cut if isinstance(page, slice) else cut[0]).T

    def header(self) -> dict[str, Any]:
        """Return the tags of the first page by name."""
        with _opened(self.path) as file:
            return _tags(file)


def open_tiff(path: str, choice: Choice) -> StoredTiff:
    """Look at the pages of a TIFF.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken or does not hold one volume of real numbers.
    """
    with _opened(path) as file:
        tags, series = _tags(file), file.series[0]
        alike = sum(not getattr(page, 'is_reduced', False) for page in file.pages) == len(
            series.pages
        )
        names, shape, kind = series.axes, series.shape, np.dtype(series.dtype)
        packed = file.pages.first.compression != 1
        grey = int(file.pages.first.photometric) in (0, 1)
        white_is_0 = int(file.pages.first.photometric) == 0
        several = len(file.series) > 1
    if several or not alike or tags.get('Orientation', 1) != 1:
        raise DataError(
            f'{path} holds pages that are no volume: their sizes or types differ, or they carry an '
            'orientation tag. Save each into a file of its own.'
        )
    lead = names[:-2].replace('T', '')
    if names[-2:] != 'YX' or len(lead) > 1 or lead == 'C' or kind.kind not in 'biuf' or not grey:
        raise DataError(
            f'{path} has axes {names} of sizes {shape} and type {kind}; pages (Z, Y, X) or frames '
            '(T, Z, Y, X) of one grey value are needed. Save each channel as a file of its own.'
        )
    check_size(path, math.prod(shape) * kind.itemsize, os.path.getsize(path), packed)
    pages = np.arange(math.prod(shape[:-2])).reshape(shape[:-2])
    if 'T' in names:
        axis = names.index('T')
        pages = pages.take(choose_frame(path, shape[axis], choice.frame), axis)
    top = None if not white_is_0 else float(np.iinfo(kind).max) if kind.kind == 'u' else 0.0
    sizes = tiff_sizes(
        tags.get('ImageDescription'), tags.get('XResolution'), tags.get('YResolution')
    )
    return StoredTiff(
        path=path,
        shape=(shape[-1], shape[-2], pages.size),
        dtype=kind,
        flat=not lead,
        sizes=sizes if sizes is None or lead else sizes[:2],
        top=top,
        quick=(2,),
        pages=tuple(pages.ravel().tolist()),
    )


def _tags(file: Any) -> dict[str, Any]:
    return {tag.name: tag.value for tag in file.pages.first.tags}


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open a TIFF; other files that it names are not opened."""
    check_file(path)
    tifffile = library('tifffile', path)
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            yield file
    except DataError:
        raise
    except Exception as error:  # a broken file can raise anything inside a decoder
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be read as TIFF ({said}). Copy it again.') from None


def has_pages(path: str) -> bool:
    """Return whether a TIFF has several pages; only its first directory is read."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, 'rb') as file:
            facts, further = first_directory(file)
    except Exception:  # what is broken is left to its reader
        return False
    return further or bool(re.search(r'^images=(?!1\b)\d', _text(facts.get(270)), re.M))


def picture_spacing(path: str) -> tuple[float, ...] | None:
    """Return height and width of a pixel in mm, of a TIFF that says it, as it is seen."""
    if not path.lower().endswith(SUFFIXES):
        return None
    try:
        with open(path, 'rb') as file:
            facts, _ = first_directory(file)
        found = tiff_sizes(*(facts.get(tag) for tag in (270, 282, 283)))
    except Exception:  # what is broken is left to its reader
        return None
    if found is None:
        return None
    return found[:2] if facts.get(ORIENTATION, 1) > 4 else found[1::-1]


def first_directory(file: IO[bytes]) -> tuple[TiffImagePlugin.ImageFileDirectory_v2, bool]:
    """Return the tags of a TIFF's first page, and whether there is another one."""
    head = file.read(8)
    large = b'+' in head[2:4]  # BigTIFF
    facts = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8) if large else head)
    file.seek(facts.next)
    facts.load(file)
    return facts, bool(facts.next)


def _text(value: object) -> str:
    return value.decode('latin-1') if isinstance(value, bytes) else str(value or '')


_IN_MM = {
    'mm': 1.0, 'millimeter': 1.0, 'cm': 10.0, 'm': 1000.0, 'inch': 25.4, 'nm': 1e-6,
    'µm': 1e-3, 'um': 1e-3, 'micron': 1e-3, '\\u00B5m': 1e-3,
}  # fmt: skip


def tiff_sizes(description: object, across: Any, down: Any) -> tuple[float, ...] | None:
    """Return the size of a voxel (x, y) or (x, y, z) in mm as ImageJ and OME write it.

    Args:
        description: the tag ImageDescription.
        across: pixels for a unit, the tag XResolution, as a number or a fraction of two.
        down: the tag YResolution.
    """
    text = _text(description)
    found: list[float] = []
    if text.startswith('ImageJ='):
        facts = dict(line.split('=', 1) for line in text.splitlines() if '=' in line)
        unit = _IN_MM.get(facts.get('unit', ''))
        if unit is None or not across or not down:
            return None
        per_unit = [float(x[0]) / float(x[1]) if isinstance(x, tuple) else float(x)
                    for x in (across, down)]  # fmt: skip
        found = [unit / number if number else 0 for number in per_unit]
        found += [unit * float(facts['spacing'])] if 'spacing' in facts else []
    elif '<OME' in text:
        for axis in 'XYZ':
            size = re.search(rf'\bPhysicalSize{axis}="([-+.\deE]+)"', text)
            named = re.search(rf'\bPhysicalSize{axis}Unit="([^"]*)"', text)
            unit = _IN_MM.get(named.group(1) if named else 'µm')
            if size is None or unit is None:
                break
            found.append(unit * float(size.group(1)))
    return tuple(found) if len(found) > 1 and min(found) > 0 else None
