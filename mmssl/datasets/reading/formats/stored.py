"""What every format gives: a volume as its file holds it, looked at before a voxel is read."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.utils.packaged import from_extra

Shape = tuple[int, int, int]
Where = tuple[int | slice, int | slice, int | slice]

EVERYTHING: Where = (slice(None), slice(None), slice(None))


LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""World axes of DICOM and ITK are left, posterior, superior."""


class Choice(NamedTuple):
    """Which volume of a file is meant.

    Attributes:
        key: name of the dataset in an HDF5 file.
        frame: number of the volume in a file of several frames, from 0.
        series: UID, number or description of a DICOM series in a folder of several.
    """

    key: str = 'image'
    frame: int | None = None
    series: str | int | None = None


# What a byte of a packed file can stand for at most, and from what size on it is asked.
_DEFLATE, _LARGE = 1100, 2**30


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored(ABC):
    """A volume as its file holds it, along three axes (i, j, k), the first the fastest.

    No file is held open, so that it can be read from threads and from forked workers.

    Attributes:
        path: the file, or the folder of a series.
        shape: number of voxels along the three axes.
        dtype: type of the values that `part` returns.
        flat: whether the file has two axes, the third being one voxel thick.
        affines: index (i, j, k) -> RAS in mm, by name, the better one first; none where the file
            does not say how it lies.
        sizes: size of a voxel along two or three of the axes in mm, where the file says it.
        step: how far apart two neighbouring values of whole numbers with a scale are, else 0.
        top: what a value is taken from where the file means small values to be seen bright.
        fault: why the grid of the file cannot be used, a sentence that names the file.
        quick: axes along which one index is read without reading everything.
    """

    kind: ClassVar[str]

    path: str
    shape: Shape
    dtype: np.dtype
    flat: bool = False
    affines: Mapping[str, np.ndarray] = field(default_factory=dict)
    sizes: tuple[float, ...] | None = None
    step: float = 0.0
    top: float | None = None
    fault: str = ''
    quick: tuple[int, ...] = ()

    @abstractmethod
    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis, as numpy indexes an array.

        Raises:
            DataError: the file is broken.
        """

    def array(self) -> np.ndarray:
        """Return all voxels, (i, j, k)."""
        return self.part(EVERYTHING)

    def laid_on(self, image: 'Stored') -> 'Stored':
        """Return this mask with what its image has and it leaves out; most leave out nothing."""
        return self

    @abstractmethod
    def header(self) -> Any:
        """Return the header as the library of the format knows it."""


def three(sizes: Sequence[int]) -> Shape:
    """Return the sizes of two or three axes as those of three."""
    i, j, k = (*sizes, 1)[:3]
    return int(i), int(j), int(k)


@contextmanager
def broken(path: str, kind: str) -> Iterator[None]:
    """Turn what a reader raises half-way through a file into one clear error."""
    try:
        yield
    except (OSError, EOFError, ValueError, IndexError, MemoryError, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be read as {kind} ({said}). Copy it again.') from None


def check_size(path: str, announced: int, held: int, packed: bool = True) -> None:
    """Refuse a header that announces more than the file can hold, before memory is taken.

    Args:
        path: the file, for messages.
        announced: bytes of voxels by the header.
        held: bytes of the file.
        packed: whether the voxels may be compressed.

    Raises:
        DataError: they cannot be in the file.
    """
    if announced > (_DEFLATE * held if packed else held) and (announced > _LARGE or not packed):
        raise DataError(
            f'{path} announces {announced / 1e9:.1f} GB of voxels but cannot hold them in '
            f'{held} bytes. Copy it again.'
        )


def choose_frame(path: str, frames: int, frame: int | None) -> int:
    """Return which frame of a series of volumes is meant.

    Raises:
        DataError: none is chosen, or there is no such frame.
    """
    if frame is None or not 0 <= frame < frames:
        chosen = '' if frame is None else f', frame = {frame} is not one of them'
        raise DataError(
            f'{path} holds {frames} frames of one volume{chosen}. Choose one by the option frame '
            f'of the data set, from 0 to {frames - 1}, or write each into a file of its own.'
        )
    return frame


def library(name: str, path: str) -> Any:
    """Import what reads or writes a format.

    Raises:
        DataError: it is not installed.
    """
    return from_extra(name, 'formats', path, DataError)
