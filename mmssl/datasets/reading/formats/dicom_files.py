"""Which DICOM files lie in a folder, and which series they belong to."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.stored import library

SUFFIXES = ('.dcm', '.dicom', '.ima')

# Files of other kinds that lie beside a series are told apart by their first bytes. A folder with
# more of them than this before the first DICOM file is no series.
_LOOKED_AT = 64

TAGS = [
    'SOPClassUID', 'Modality', 'SeriesInstanceUID', 'SeriesNumber', 'SeriesDescription',
    'Rows', 'Columns', 'NumberOfFrames', 'SamplesPerPixel', 'PhotometricInterpretation',
    'BitsAllocated', 'BitsStored', 'PixelRepresentation', 'ModalityLUTSequence',
    'RescaleSlope', 'RescaleIntercept', 'PixelSpacing', 'ImagerPixelSpacing', 'SliceThickness',
    'SpacingBetweenSlices', 'ImagePositionPatient', 'ImageOrientationPatient', 'InstanceNumber',
    'AcquisitionNumber', 'AcquisitionTime', 'TemporalPositionIdentifier', 'TriggerTime',
    'SharedFunctionalGroupsSequence', 'PerFrameFunctionalGroupsSequence', 'SegmentationType',
    'FrameOfReferenceUID',
]  # fmt: skip


class Series(NamedTuple):
    """A DICOM series in a folder.

    Attributes:
        folder: the folder.
        uid: its SeriesInstanceUID, which the option `series` takes.
        number: its number in the study, if any.
        description: what it is called.
        modality: such as CT or MR.
        slices: number of slices, or of frames, over all files.
        files: its files.
    """

    folder: str
    uid: str
    number: int | None
    description: str
    modality: str
    slices: int
    files: tuple[str, ...]

    def __str__(self) -> str:
        """Name the series in a message."""
        return f'"{self.description}" (series {self.number}, {self.slices} slices, {self.uid})'


def holds_dicom(path: str) -> bool:
    """Return whether a path is a DICOM file, by its first bytes, or a folder with some."""
    if os.path.isdir(path):
        return next(_files(path, _LOOKED_AT), None) is not None
    return _is_dicom(path)


def _is_dicom(path: str) -> bool:
    try:
        if not os.path.isfile(path):
            return False
        with open(path, 'rb') as file:
            return file.read(132)[128:] == b'DICM'
    except OSError:
        return False


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _files(folder: str, looked_at: int | None = None) -> Iterator[str]:
    """Yield the DICOM files that lie directly in a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith('.') and _is_file(e))
    except OSError as error:
        raise DataError(f'The folder {folder} cannot be read ({error.strerror}).') from None
    for name in names[:looked_at]:
        path = os.path.join(folder, name)
        if name.upper() != 'DICOMDIR' and _is_dicom(path):
            yield path


def read_header(path: str, everything: bool = False) -> Any:
    """Return the pydicom data set of a file without its pixels.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is broken or no DICOM.
    """
    check_file(path)
    pydicom = library('pydicom', path)
    try:
        return pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=None if everything else TAGS
        )
    except Exception as error:  # a broken file can raise anything inside a parser
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be opened as DICOM ({said}). Copy it again.') from None


def list_series(folder: str, nested: bool = True) -> list[Series]:
    """Return the series of images in a folder and those below it.

    Args:
        folder: where to look.
        nested: look into the folders below, too.

    Raises:
        DataError: a file is broken.
    """
    found = []
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if nested and not name.startswith('.'))
        found += [series for series, _ in series_of(place)]
    return found


def series_of(folder: str) -> list[tuple[Series, list[tuple[str, Any]]]]:
    """Return the series that lie directly in a folder, with the headers of their files.

    Raises:
        DataError: a file is broken.
    """
    grouped: dict[str, list[tuple[str, Any]]] = {}
    for path in _files(folder):
        header = read_header(path)
        if 'Rows' in header:  # a report or a plan has none
            grouped.setdefault(str(header.get('SeriesInstanceUID', '')), []).append((path, header))
        elif _is_cut_short(header):
            raise DataError(f'{path} ends before the size of its image. Copy the file again.')
    found = [(_series(folder, uid, headers), headers) for uid, headers in grouped.items()]
    return sorted(found, key=lambda pair: (pair[0].number or 0, pair[0].uid))


def _is_cut_short(header: Any) -> bool:
    """Tell whether a header without a size is that of an image: it would be missing in silence."""
    from pydicom.uid import UID

    kind = header.get('SOPClassUID') or header.file_meta.get('MediaStorageSOPClassUID')
    return kind is None or 'Image Storage' in UID(kind).name


def _series(folder: str, uid: str, headers: Sequence[tuple[str, Any]]) -> Series:
    first = headers[0][1]
    number = first.get('SeriesNumber')
    return Series(
        folder,
        uid,
        None if number is None else int(number),
        str(first.get('SeriesDescription') or 'without description'),
        str(first.get('Modality', '')),
        sum(int(header.get('NumberOfFrames') or 1) for _, header in headers),
        tuple(path for path, _ in headers),
    )


def choose_series(folder: str, wanted: str | int | None) -> list[tuple[str, Any]]:
    """Return the files of a series with their headers.

    Args:
        folder: the folder.
        wanted: its UID, number or description; needed where there are several.

    Raises:
        DataError: there are several and none or several are chosen, or there is no such series.
    """
    found = series_of(folder)
    if not found:
        raise DataError(f'{folder} holds no DICOM file with an image. Name another folder.')
    fits = [
        pair
        for pair in found
        if wanted is None or str(wanted) in (pair[0].uid, pair[0].description, str(pair[0].number))
    ]
    if len(fits) == 1:
        return fits[0][1]
    listed = '; '.join(str(series) for series, _ in found[:8])
    more = f'; and {len(found) - 8} more' * (len(found) > 8)
    chosen = '' if wanted is None else f', {len(fits)} of them called {wanted!r}'
    raise DataError(
        f'{folder} holds {len(found)} DICOM series{chosen}: {listed}{more}. Choose one by the '
        'option series of the data set: its UID, number or description.'
    )
