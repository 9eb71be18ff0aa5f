"""Frames of DICOM files: where each lies in the patient, and whether they make up a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats.dicom_files import read_header
from mmssl.datasets.reading.formats.stored import LPS_TO_RAS, Stored, Where, library

TURNED = 1e-3
"""Difference of direction cosines above which two frames do not lie in parallel."""
SAME = 0.01
"""Distance in mm below which two frames lie in one place."""
UNEVEN = 0.1
"""Part of the usual gap by which the place of a slice may miss the even one."""


class Frame(NamedTuple):
    """One frame of a DICOM file.

    Attributes:
        path: the file.
        number: which frame of the file, from 0.
        position: centre of its first pixel, LPS in mm, if known.
        cosines: directions of a row and of a column, LPS (6,), if known.
        spacing: distance of its rows and of its columns in mm, if known.
        thickness: distance to the next slice as the header says it, 1 if it does not.
        scale: slope and intercept of its values.
        order: sorts frames in one place.
        segment: number of the segment in a segmentation.
    """

    path: str
    number: int
    position: np.ndarray | None
    cosines: np.ndarray | None
    spacing: tuple[float, float] | None
    thickness: float
    scale: tuple[float, float]
    order: tuple[float, ...]
    segment: int = 0


def frames_of(path: str, header: Any) -> list[Frame]:
    """Return the frames of a file, in its order.

    Raises:
        DataError: the header contradicts itself.
    """
    groups = header.get('PerFrameFunctionalGroupsSequence')
    count = int(header.get('NumberOfFrames') or 1)
    if groups is not None and len(groups) != count:
        raise DataError(
            f'{path} announces {count} frames and describes {len(groups)}. Copy it again.'
        )
    shared = (header.get('SharedFunctionalGroupsSequence') or [None])[0]
    try:
        return [
            _frame(path, number, header, shared, None if groups is None else groups[number])
            for number in range(count)
        ]
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        said = ' '.join(str(error).split())
        raise DataError(f'{path} has a header that is no image ({said}). Copy it again.') from None


def _frame(path: str, number: int, header: Any, shared: Any, own: Any) -> Frame:
    def look(sequence: str, name: str) -> Any:
        """Return an attribute of the frame, of all frames, or of the file."""
        for group in (own, shared):
            if group is not None and sequence in group and name in group[sequence].value[0]:
                return group[sequence].value[0].get(name)
        return header.get(name)

    position = look('PlanePositionSequence', 'ImagePositionPatient')
    cosines = look('PlaneOrientationSequence', 'ImageOrientationPatient')
    spacing = look('PixelMeasuresSequence', 'PixelSpacing') or header.get('ImagerPixelSpacing')
    gap = look('PixelMeasuresSequence', 'SpacingBetweenSlices')
    gap = gap or look('PixelMeasuresSequence', 'SliceThickness')
    slope = look('PixelValueTransformationSequence', 'RescaleSlope')
    intercept = look('PixelValueTransformationSequence', 'RescaleIntercept')
    times = [
        look('FrameContentSequence', 'TemporalPositionIndex'),
        look('TemporalPositionSequence', 'TemporalPositionIdentifier'),
        look('CardiacSynchronizationSequence', 'TriggerTime'),
        header.get('AcquisitionNumber'),
        header.get('AcquisitionTime'),
        header.get('InstanceNumber'),
    ]
    segment = look('SegmentIdentificationSequence', 'ReferencedSegmentNumber')
    return Frame(
        path,
        number,
        None if position is None else _numbers(position, 3),
        None if cosines is None else _numbers(cosines, 6),
        None if spacing is None else (float(spacing[0]), float(spacing[1])),
        abs(float(gap or 1)) or 1.0,
        (1.0 if slope is None else float(slope), float(intercept or 0)),
        (*(float(time or 0) for time in times), float(number)),
        int(segment or 0),
    )


def _numbers(values: Any, count: int) -> np.ndarray:
    found = np.array([float(value) for value in values])
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f'{found.tolist()} in place of {count} numbers')
    return found


class Stack(NamedTuple):
    """Frames in the order of a volume.

    Attributes:
        places: for each slice, the frames that lie there, sorted by time.
        affine: index (column, row, slice) -> RAS in mm, None if it is not known.
        fault: why the slices are no volume, a sentence.
    """

    places: list[list[Frame]]
    affine: np.ndarray | None = None
    fault: str = ''


def stack(frames: Sequence[Frame], path: str) -> Stack:
    """Sort frames by where they lie along their common normal.

    Raises:
        DataError: some lie in other planes, or some do not say where they lie.
    """
    ordered = sorted(frames, key=lambda frame: frame.order)
    known = [f for f in ordered if f.position is not None and f.cosines is not None and f.spacing]
    if not known:
        return Stack([[frame] for frame in ordered])
    first = known[0]
    assert first.cosines is not None
    for frame in ordered:
        if frame.position is None or frame.cosines is None or not frame.spacing:
            raise DataError(
                f'{frame.path} does not say where it lies (position, orientation and spacing), '
                f'{first.path} of the same series does. Move it out of {path}.'
            )
        if np.abs(frame.cosines - first.cosines).max() > TURNED or frame.spacing != first.spacing:
            raise DataError(
                f'{frame.path} lies in another plane or has pixels of another size than '
                f'{first.path} of the same series, as with a localiser. Split {path} into one '
                'folder for each plane.'
            )
    normal = np.cross(first.cosines[:3], first.cosines[3:])
    along = np.array([frame.position @ normal for frame in ordered])
    places: list[list[Frame]] = []
    reached = -np.inf
    for number in np.argsort(along, kind='stable'):
        if along[number] - reached > SAME:
            places.append([])
            reached = along[number]
        places[-1].append(ordered[number])
    for place in places:
        place.sort(key=lambda frame: frame.order)
    affine, fault = _affine(places, normal, path)
    return Stack(places, affine, fault)


def _affine(places: list[list[Frame]], normal: np.ndarray, path: str) -> tuple[np.ndarray, str]:
    """Return the affine of a stack, and what is uneven about it."""
    first = places[0][0]
    assert first.cosines is not None and first.spacing is not None
    at = np.stack([np.asarray(place[0].position) for place in places])
    step = (at[-1] - at[0]) / (len(at) - 1) if len(at) > 1 else normal * first.thickness
    affine = np.eye(4)
    affine[:3, 0] = first.cosines[:3] * first.spacing[1]
    affine[:3, 1] = first.cosines[3:] * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, at[0]
    return LPS_TO_RAS @ affine, _uneven(places, at, normal, path)


def _uneven(places: list[list[Frame]], at: np.ndarray, normal: np.ndarray, path: str) -> str:
    gaps = np.diff(at @ normal)
    if len(gaps) < 2:
        return ''
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > UNEVEN * usual:
        before, after = places[worst][0], places[worst + 1][0]
        return (
            f'{path} has a gap of {gaps[worst]:.4g} mm between {_name(before)} and {_name(after)}, '
            f'elsewhere of {usual:.4g} mm: a slice is missing or too many. Complete the series.'
        )
    even = at[0] + np.outer(np.arange(len(at)), (at[-1] - at[0]) / (len(at) - 1))
    missed = np.linalg.norm(at - even, axis=1)
    if missed.max() > UNEVEN * usual:
        return (
            f'{path}: {_name(places[int(missed.argmax())][0])} lies {missed.max():.3g} mm beside '
            'the straight line through the other slices. Resample the series.'
        )
    return ''


def _name(frame: Frame) -> str:
    name = frame.path.replace('\\', '/').rsplit('/', 1)[-1]
    return f'{name} frame {frame.number + 1}' if frame.number else name


def sizes_of(frame: Frame, affine: np.ndarray | None, flat: bool) -> tuple[float, ...] | None:
    """Return the size of a voxel (column, row, slice) or pixel (column, row) in mm, if known."""
    if frame.spacing is None:
        return None
    inside = (frame.spacing[1], frame.spacing[0])
    if affine is None or flat:
        return inside
    return (*inside, float(np.linalg.norm(affine[:3, 2])))


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredDicom(Stored):
    """Frames of DICOM files, sorted by position; axes are (column, row, slice).

    Attributes:
        frames: the frame of each slice.
        apart: whether each frame begins with a byte of its own, so that it can be read alone.
    """

    kind = 'dicom'

    frames: tuple[Frame, ...]
    apart: bool = True

    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis; only slices in question are read."""
        numbers, inside = range(self.shape[2])[where[2]], (where[1], where[0])
        if isinstance(numbers, int):
            return self.plane(numbers)[inside].T
        found = np.empty(
            (len(numbers), *np.empty(self.shape[1::-1], bool)[inside].shape), self.dtype
        )
        for place, number in enumerate(numbers):
            found[place] = self.plane(number)[inside]
        return found.T

    def plane(self, number: int) -> np.ndarray:
        """Return a slice (row, column), rescaled."""
        frame = self.frames[number]
        slope, intercept = frame.scale
        values = self.decoded(frame).astype(self.dtype)
        if (slope, intercept) == (1, 0):
            return values
        return values * self.dtype.type(slope) + self.dtype.type(intercept)

    def decoded(self, frame: Frame) -> np.ndarray:
        """Return the pixels of a frame (row, column).

        Raises:
            DataError: they cannot be decoded.
        """
        pixels = library('pydicom.pixels', frame.path)
        try:
            index = frame.number if self.apart else None
            found = pixels.pixel_array(frame.path, index=index, raw=True)
            if not self.apart:
                found = found.reshape(-1, *self.shape[1::-1])[frame.number]
        except Exception as error:  # a broken file can raise anything inside a decoder
            said = ' '.join(str(error).split())
            raise DataError(
                f'{frame.path} cannot be decoded ({said}). Copy it again, or, where a plug-in is '
                "missing: pip install 'mmssl[formats]'."
            ) from None
        if found.shape != self.shape[1::-1]:
            raise DataError(
                f'{frame.path} holds pixels {found.shape} in place of {self.shape[1::-1]}. Copy it '
                'again.'
            )
        return found

    def header(self) -> list[Any]:
        """Return the pydicom data sets without pixels, of each file once, in slice order."""
        paths = dict.fromkeys(frame.path for frame in self.frames)
        return [read_header(path, everything=True) for path in paths]
