"""What is measured of one image and its mask."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmssl.datasets.reading import (
    DataError,
    Source,
    decode_mask,
    holds_volumes,
    open_image,
    read_image,
)
from mmssl.datasets.reading.decode import to_channels
from mmssl.inspection.entries import Entry, Reading


class Facts(NamedTuple):
    """What is measured of an image.

    Attributes:
        entry: the image.
        shape: height and width in pixels.
        spacing: height and width of a pixel in mm, if known.
        thickness: distance of the slices in mm, if known.
        kind: format of the file.
        orientation: where the axes of the file run to, such as LPS; empty where unknown.
        histogram: number of pixels of each of 256 grey levels, as the networks see them.
        digest: of the pixels; two images of one digest are equal. None where all are equal.
        sizes: part -> number of its pixels; None without a mask.
    """

    entry: Entry
    shape: tuple[int, int]
    spacing: tuple[float, float] | None
    thickness: float | None
    kind: str
    orientation: str
    histogram: np.ndarray
    digest: bytes | None
    sizes: dict[str, int] | None


def read(entry: Entry) -> tuple[np.ndarray, tuple[float, ...] | None]:
    """Return an image as uint8 (H, W, C), and its spacing if known.

    Raises:
        DataError: the file cannot be used.
        FileNotFoundError: it is not there.
    """
    how = entry.reading
    scan = read_image(
        entry.path, how.channels, how.image_key, entry.index, how.value_range, how.axes
    )
    return scan.array, scan.spacing or how.spacing


def read_classes(entry: Entry, shape: tuple[int, int] | None) -> np.ndarray | None:
    """Return the mask of an image as class ids (H, W), None without one.

    Raises:
        DataError: a file cannot be used, or has another size than the image.
        FileNotFoundError: it is not there.
    """
    if entry.mask_paths is None or entry.label_map is None:
        return None
    how = entry.reading
    image = Source(entry.path, how.image_key)
    return decode_mask(
        entry.mask_paths, entry.label_map, shape, how.mask_key, entry.index, image, how.axes
    )


def measure(entry: Entry, parts: Mapping[str, Sequence[int]]) -> Facts:
    """Look at an image and, where it may be opened, its mask.

    Args:
        entry: the image.
        parts: part -> class ids whose union it is.

    Raises:
        DataError: a file cannot be used; the message names it.
        FileNotFoundError: a file is not there.
    """
    array, spacing = read(entry)
    height, width = array.shape[:2]
    kind, orientation = _file_facts(entry.path, entry.reading)
    grey = to_channels(array, 1)
    classes = read_classes(entry, (height, width))
    same = bool((array == array[:1, :1]).all())
    digest = hashlib.blake2b(array.tobytes(), digest_size=16)
    digest.update(str(array.shape).encode())
    return Facts(
        entry,
        (height, width),
        None if spacing is None else (spacing[-2], spacing[-1]),
        spacing[0] if spacing is not None and len(spacing) == 3 else None,
        kind,
        orientation,
        np.bincount(grey.ravel(), minlength=256),
        None if same else digest.digest(),
        None if classes is None else _sizes(classes, parts),
    )


def _sizes(classes: np.ndarray, parts: Mapping[str, Sequence[int]]) -> dict[str, int]:
    counts = np.bincount(classes.ravel(), minlength=256)
    return {name: int(counts[list(ids)].sum()) for name, ids in parts.items()}


@lru_cache(maxsize=256)
def _file_facts(path: str, reading: Reading) -> tuple[str, str]:
    """Return the format of a file and how its axes run."""
    if not holds_volumes(path):
        return 'picture', ''
    from nibabel.orientations import aff2axcodes

    file = open_image(path, reading.image_key, reading.axes)
    affine = file.stored_affine
    return file.kind, '' if affine is None else ''.join(aff2axcodes(affine))


def faults_in(error: Exception, entry: Entry) -> str:
    """Return the sentence for an image that could not be measured."""
    said = ' '.join(str(error).split())
    if isinstance(error, DataError | FileNotFoundError):
        return f'Domain "{entry.domain}": {said}'
    return f'Domain "{entry.domain}": {entry.path} cannot be read ({said}).'
