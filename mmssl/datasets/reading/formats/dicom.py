"""DICOM: a series in a folder, or a file with one frame or several, by pydicom."""

import math
import os
from typing import Any

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats.dicom_files import (
    SUFFIXES,
    choose_series,
    holds_dicom,
    read_header,
)
from mmssl.datasets.reading.formats.dicom_frames import (
    Frame,
    Stack,
    StoredDicom,
    frames_of,
    sizes_of,
    stack,
)
from mmssl.datasets.reading.formats.dicom_seg import SEGMENTATIONS, open_segments
from mmssl.datasets.reading.formats.stored import (
    Choice,
    check_size,
    choose_frame,
)

__all__ = ['SUFFIXES', 'holds_dicom', 'open_dicom']

_PARAMETRIC_MAP = '1.2.840.10008.5.1.4.1.1.30'


def open_dicom(path: str, choice: Choice) -> StoredDicom:
    """Look at a DICOM file, or at a series in a folder.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a file is broken, or they do not hold one volume of real numbers.
    """
    alone = not os.path.isdir(path)
    files = [(path, read_header(path))] if alone else choose_series(path, choice.series)
    for file, header in files:
        _check(file, header, files[0])
    if files[0][1].get('SOPClassUID') in SEGMENTATIONS:
        return open_segments(path, files)
    stacked = stack([frame for file in files for frame in frames_of(*file)], path)
    frames = _one_each(path, stacked, choice.frame)
    header = files[0][1]
    flat = alone and len(frames) == 1
    affines = {} if stacked.affine is None or stacked.fault else {'position': stacked.affine}
    dtype = _dtype(header, frames)
    return StoredDicom(
        path=path,
        shape=(int(header.Columns), int(header.Rows), len(frames)),
        dtype=dtype,
        flat=flat,
        affines=affines,
        sizes=sizes_of(frames[0], stacked.affine, flat),
        step=abs(frames[0].scale[0]) if dtype.kind == 'f' and frames[0].scale[0] != 1 else 0.0,
        top=None if stacked.affine is not None else _top(header, frames[0]),
        fault=stacked.fault,
        quick=(2,),
        frames=frames,
    )


def _check(path: str, header: Any, first: tuple[str, Any]) -> None:
    """Refuse files that hold no grey image, announce more than they hold, or do not go together."""
    names = ('Rows', 'Columns', 'BitsAllocated')
    missing = [name for name in names if not header.get(name)]
    if missing:
        raise DataError(f'{path} has no {missing[0]}, so it is no image. Leave it out.')
    samples, meaning = header.get('SamplesPerPixel', 1), header.get('PhotometricInterpretation')
    if samples != 1 or meaning not in ('MONOCHROME1', 'MONOCHROME2', None):
        raise DataError(
            f'{path} has {samples} values a pixel ({meaning}); one of grey is needed. Save it as '
            'PNG or as greyscale.'
        )
    if 'ModalityLUTSequence' in header:
        raise DataError(
            f'{path} maps its values by a table (Modality LUT), which is not read. Save it with '
            'slope and intercept.'
        )
    sizes = [[int(head[name].value) for name in names[:2]] for head in (header, first[1])]
    if sizes[0] != sizes[1]:
        raise DataError(
            f'{path} has {sizes[0][0]} x {sizes[0][1]} pixels, {first[0]} of the same series '
            f'{sizes[1][0]} x {sizes[1][1]}. Split the folder.'
        )
    frames = int(header.get('NumberOfFrames') or 1)
    bits = math.prod(sizes[0]) * frames * int(header.BitsAllocated)
    packed = header.file_meta.TransferSyntaxUID.is_compressed
    check_size(path, bits // 8, os.path.getsize(path), packed)


def _one_each(path: str, stacked: Stack, frame: int | None) -> tuple[Frame, ...]:
    """Return one frame for each slice."""
    counts = {len(place) for place in stacked.places}
    if len(counts) > 1:
        few, many = min(counts), max(counts)
        odd = next(place for place in stacked.places if len(place) == few)[0]
        raise DataError(
            f'{path} has {many} frames in one place and {few} in another ({odd.path}). Complete '
            'the series, or move each volume into a folder of its own.'
        )
    number = choose_frame(path, counts.pop(), frame) if counts != {1} else 0
    return tuple(place[number] for place in stacked.places)


def _dtype(header: Any, frames: tuple[Frame, ...]) -> np.dtype:
    """Return a type that holds the values exactly."""
    bits = max(8, int(header.BitsAllocated))
    if header.get('SOPClassUID') == _PARAMETRIC_MAP:
        return np.dtype(np.float32 if bits == 32 else np.float64)
    scales = {frame.scale for frame in frames}
    if scales == {(1.0, 0.0)} and bits in (8, 16, 32):
        return np.dtype(f'{"i" if header.get("PixelRepresentation") else "u"}{bits // 8}')
    whole = all(float(number).is_integer() for scale in scales for number in scale)
    small = all(abs(number) < 2**14 for scale in scales for number in scale)
    return np.dtype(np.int32 if whole and small and bits <= 16 else np.float64)


def _top(header: Any, frame: Frame) -> float | None:
    """Return what values are taken from where small ones are meant to be bright."""
    if header.get('PhotometricInterpretation') != 'MONOCHROME1':
        return None
    largest = -1 if header.get('PixelRepresentation') else 2 ** int(header.BitsStored) - 1
    slope, intercept = frame.scale
    return slope * largest + 2 * intercept
