"""NRRD and MetaImage, in one file or as a header with a file of voxels, by SimpleITK."""

import math
import os
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.stored import (
    LPS_TO_RAS,
    Choice,
    Stored,
    Where,
    check_size,
    choose_frame,
    library,
    three,
)

SUFFIXES = ('.nrrd', '.nhdr', '.mha', '.mhd')

_HEADER = 2**16
_KINDS = ('Int8', 'UInt8', 'Int16', 'UInt16', 'Int32', 'UInt32', 'Int64', 'UInt64')
_SPACES = re.compile(
    r'(left-posterior|right-anterior|left-anterior)-superior(-time)?|(lps|ras|las)t?|4'
)
"""Spaces of NRRD that mean the patient; ITK leaves the name out of four dimensions."""


class _Facts(NamedTuple):
    """What the text of a header says.

    Attributes:
        loader: the reader of SimpleITK.
        data: the file of voxels.
        packed: whether they may be compressed.
        lies: whether the header says how the volume lies in the patient.
        sized: whether it says how large a voxel is.
    """

    loader: str
    data: str
    packed: bool
    lies: bool
    sized: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredItk(Stored):
    """A NRRD or MetaImage file, or one frame of it.

    Attributes:
        loader: the reader of SimpleITK.
        frame: number of the frame where there are four axes.
    """

    kind = 'itk'

    loader: str
    frame: int | None = None

    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis; the whole file is read."""
        sitk = library('SimpleITK', self.path)
        reader = self.header()
        if self.frame is not None:
            reader.SetExtractSize([*self.shape, 0])
            reader.SetExtractIndex([0, 0, 0, self.frame])
        try:
            found = sitk.GetArrayFromImage(reader.Execute()).T
        except RuntimeError as error:
            raise _broken(self.path, error) from None
        return found.reshape(self.shape)[where]

    def header(self) -> Any:
        """Return the `ImageFileReader` of SimpleITK with the information read."""
        return _reader(self.path, self.loader)


def open_itk(path: str, choice: Choice) -> StoredItk:
    """Look at the header of a NRRD or MetaImage file.

    Raises:
        FileNotFoundError: there is no such file, or none with its voxels.
        DataError: the file is broken, leads out of its folder, or does not hold one volume of real
            numbers.
    """
    check_file(path)
    sitk = library('SimpleITK', path)
    facts = _facts(path)
    reader = _reader(path, facts.loader)
    shape, components = reader.GetSize(), reader.GetNumberOfComponents()
    kinds = {getattr(sitk, f'sitk{name}'): np.dtype(name.lower()) for name in _KINDS}
    kinds |= {sitk.sitkFloat32: np.dtype(np.float32), sitk.sitkFloat64: np.dtype(np.float64)}
    kind = kinds.get(reader.GetPixelID())
    if len(shape) not in (2, 3, 4) or kind is None or components != 1:
        raise DataError(
            f'{path} has shape {shape} and {components} value(s) a voxel of type '
            f'{sitk.GetPixelIDValueAsString(reader.GetPixelID())}; a slice (x, y), a volume '
            '(x, y, z) or frames (x, y, z, time) of one real number are needed. Save each part as '
            'a volume of its own.'
        )
    announced = math.prod(shape) * kind.itemsize
    check_size(path, announced, os.path.getsize(facts.data), facts.packed)
    frame = choose_frame(path, shape[3], choice.frame) if len(shape) == 4 else None
    return StoredItk(
        path=path,
        shape=three(shape[:3]),
        dtype=kind,
        flat=len(shape) == 2,
        affines={'space': _affine(reader)} if facts.lies and len(shape) > 2 else {},
        sizes=tuple(reader.GetSpacing()[:3]) if facts.sized else None,
        loader=facts.loader,
        frame=frame,
    )


def _affine(reader: Any) -> np.ndarray:
    axes = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    affine[:3, 3] = reader.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def _reader(path: str, loader: str) -> Any:
    """Return a reader that knows the header; the format is not guessed from what the file holds."""
    sitk = library('SimpleITK', path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO(loader)
    reader.SetFileName(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _broken(path, error) from None
    return reader


def _broken(path: str, error: Exception) -> DataError:
    said = ' '.join(str(error).split())[-300:]
    return DataError(f'{path} cannot be read as NRRD or MetaImage ({said}). Copy it again.')


def _facts(path: str) -> _Facts:
    """Read the text of a header, of which only parts come through SimpleITK.

    Raises:
        DataError: it is no header, or its voxels are not in the same folder.
    """
    with open(path, 'rb') as file:
        text = file.read(_HEADER).decode('latin-1')
    fields: dict[str, str] = {}
    if text.startswith('NRRD'):
        head, end, _ = re.sub(r'\r\n?', '\n', text).partition('\n\n')
        for key, value in re.findall(r'^([^#\n:]+):(?!=)[ \t]*(.*)$', head, re.M):
            fields[key.strip().lower()] = value.strip()
        data = fields.get('data file') or fields.get('datafile') or 'LOCAL'
        complete = bool(end) or len(text) < _HEADER
        packed = fields.get('encoding', 'raw').lower() != 'raw'
        known = fields.get('space') or fields.get('space dimension') or ''
        lies = bool(_SPACES.fullmatch(known.lower())) and 'space directions' in fields
        sized = 'space directions' in fields or 'spacings' in fields
        loader = 'NrrdImageIO'
    else:
        head, end, rest = re.sub(r'\r\n?', '\n', text).partition('ElementDataFile')
        for key, value in re.findall(r'^[ \t]*(\w+)[ \t]*[=:][ \t]*(.*)$', head, re.M):
            fields[key] = value.strip()
        data = rest.split('\n')[0].strip(' \t=:')
        complete = bool(end and data and 'NDims' in fields)
        packed = fields.get('CompressedData', 'False').lower()[:1] in 't1'
        lies = bool({'TransformMatrix', 'Rotation', 'Orientation', 'Direction'} & {*fields})
        sized = 'ElementSpacing' in fields or 'ElementSize' in fields
        loader = 'MetaImageIO'
    if not complete:
        raise DataError(f'{path} has no header of NRRD or MetaImage. Copy it again.')
    return _Facts(loader, _data_file(path, data), packed, lies, sized)


def _data_file(path: str, name: str) -> str:
    """Return the file of the voxels, which a header may name.

    Raises:
        DataError: it lies elsewhere, or there are several.
        FileNotFoundError: it is not there.
    """
    if name.upper() == 'LOCAL':
        return path
    if name.split()[0].upper() == 'LIST' or '%' in name:
        raise DataError(
            f'{path} spreads its voxels over several files ("{name}"). Save it as one file (.nrrd '
            'or .mha).'
        )
    folder = os.path.dirname(os.path.realpath(path))
    data = os.path.join(folder, name)
    inside = os.path.dirname(os.path.realpath(data)) == folder
    if not inside or os.path.basename(name.replace('\\', '/')) != name:
        raise DataError(
            f'{path} names "{name}" as the file of its voxels, which must lie in the same folder. '
            'Put it there and write its bare name, or save both as one file (.nrrd or .mha).'
        )
    check_file(data)
    return data
