"""DICOM segmentations: one frame for each segment and slice, empty ones left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats.dicom_frames import (
    UNEVEN,
    Frame,
    StoredDicom,
    frames_of,
    sizes_of,
    stack,
)
from mmssl.datasets.reading.formats.stored import Stored

# Segmentation and Label Map Segmentation.
SEGMENTATIONS = ('1.2.840.10008.5.1.4.1.1.66.4', '1.2.840.10008.5.1.4.1.1.66.7')


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSegments(StoredDicom):
    """A mask whose values are the numbers of segments; where two overlap, the larger one counts.

    Attributes:
        places: for each slice, the frames of the segments that are there.
        labelled: whether the pixels are numbers of segments, not 0 and 1.
    """

    places: tuple[tuple[Frame, ...], ...]
    labelled: bool

    def plane(self, number: int) -> np.ndarray:
        """Return a slice (row, column)."""
        found = np.zeros(self.shape[1::-1], self.dtype)
        for frame in self.places[number]:
            values = self.decoded(frame)
            own = values if self.labelled else (values > 0) * np.uint16(frame.segment)
            np.maximum(found, own.astype(self.dtype), out=found)
        return found

    def laid_on(self, image: Stored) -> Stored:
        """Return the mask with the slices that its image has and it leaves out."""
        for own, theirs in zip(self.affines.values(), image.affines.values(), strict=False):
            mapping = np.linalg.inv(theirs) @ own
            axis = int(np.abs(mapping[:3, 2]).argmax())
            step, first, count = mapping[axis, 2], mapping[axis, 3], image.shape[axis]
            before = round(first if step > 0 else count - 1 - first)
            after = count - before - len(self.places)
            if min(before, after) < 0:
                break
            affine = own.copy()
            if len(self.places) == 1:  # of one slice the distance to the next is not known
                affine[:3, 2] /= abs(step)
            affine[:3, 3] -= before * affine[:3, 2]
            return replace(
                self,
                shape=(*self.shape[:2], count),
                places=((),) * before + self.places + ((),) * after,
                affines={'position': affine},
            )
        return self


def open_segments(path: str, files: Sequence[tuple[str, Any]]) -> StoredSegments:
    """Look at a segmentation.

    Raises:
        DataError: it does not hold one label a voxel, or does not say where its slices lie.
    """
    header = files[0][1]
    frames = [frame for file in files for frame in frames_of(*file)]
    kind = header.get('SegmentationType')
    if kind not in ('BINARY', 'LABELMAP'):
        raise DataError(
            f'{path} is a segmentation of type {kind}; BINARY or LABELMAP are read. Save it so.'
        )
    stacked = stack(frames, path)
    if stacked.affine is None:
        raise DataError(f'{path} does not say where its segments lie. Save them with positions.')
    numbers, affine, fault = _numbers(path, stacked.places, stacked.affine)
    places: list[tuple[Frame, ...]] = [()] * (numbers[-1] + 1)
    for number, place in zip(numbers, stacked.places, strict=True):
        places[number] = tuple(place)
    return StoredSegments(
        path=path,
        shape=(int(header.Columns), int(header.Rows), len(places)),
        dtype=np.dtype(np.uint16),
        affines={} if fault else {'position': affine},
        sizes=sizes_of(frames[0], affine, False),
        fault=fault,
        quick=(2,),
        frames=tuple(frames),
        apart=int(header.Rows) * int(header.Columns) * int(header.BitsAllocated) % 8 == 0,
        places=tuple(places),
        labelled=kind == 'LABELMAP',
    )


def _numbers(
    path: str, places: list[list[Frame]], affine: np.ndarray
) -> tuple[list[int], np.ndarray, str]:
    """Return the number of each slice that is there, the affine, and what is uneven about them."""
    first = places[0][0]
    assert first.cosines is not None
    normal = np.cross(first.cosines[:3], first.cosines[3:])
    along = np.array([place[0].position @ normal for place in places])
    along -= along[0]
    if len(along) == 1:
        return [0], affine, ''
    gaps = [first.thickness, float(np.diff(along).min())]
    missed = [np.abs(along / gap - np.rint(along / gap)).max() for gap in gaps]
    gap = gaps[0] if missed[0] <= UNEVEN else gaps[1]
    numbers = np.rint(along / gap).astype(int)
    even = affine.copy()
    even[:3, 2] *= (len(along) - 1) / numbers[-1]
    fault = f'{path} has slices at uneven distances. Save it on the grid of its image.'
    return numbers.tolist(), even, fault if min(missed) > UNEVEN else ''
