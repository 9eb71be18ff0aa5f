"""NIfTI 1 and 2, packed or not, by nibabel."""

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.stored import (
    EVERYTHING,
    Choice,
    Stored,
    Where,
    broken,
    check_size,
    choose_frame,
    three,
)

SUFFIXES = ('.nii', '.nii.gz')


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredNifti(Stored):
    """A NIfTI file, or one frame of it.

    Attributes:
        image: the file as nibabel opened it.
        rest: index along the axes behind the third.
    """

    kind = 'nifti'

    image: Any
    rest: tuple[int, ...] = ()

    def part(self, where: Where) -> np.ndarray:
        """Return the voxels at an index or slice of each axis."""
        proxy, axes = self.image.dataobj, min(len(self.image.shape), 3)
        with broken(self.path, 'NIfTI'):
            if where == EVERYTHING and math.prod(self.image.shape) == math.prod(self.shape):
                return np.asanyarray(proxy).reshape(self.shape)
            found = np.asanyarray(proxy[(*where[:axes], *self.rest)])
        return found[..., None] if axes == 2 and isinstance(where[2], slice) else found

    def header(self) -> Any:
        """Return the image of nibabel."""
        return self.image


def open_nifti(path: str, choice: Choice) -> StoredNifti:
    """Look at the header of a NIfTI file.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken or does not hold one volume of real numbers.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    check_file(path)
    try:
        with broken(path, 'NIfTI'):
            image = nibabel.load(path)
    except (ImageFileError, HeaderDataError, WrapStructError) as error:
        said = ' '.join(str(error).split())
        raise DataError(f'{path} cannot be opened as NIfTI ({said}). {_way_out(path)}') from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise DataError(
            f'{path} is a file of {type(image).__name__}, which does not say how it lies. Save it '
            'as NIfTI.'
        )
    shape = tuple(int(size) for size in image.shape)
    used = len(shape)
    while used > 3 and shape[used - 1] == 1:
        used -= 1
    kind = image.get_data_dtype()
    if used not in (2, 3, 4) or kind.kind not in 'biuf' or 0 in shape:
        raise DataError(
            f'{path} has shape {image.shape} and type {kind}; a slice (x, y), a volume (x, y, z) '
            'or frames (x, y, z, time) of real numbers are needed. Write it as such.'
        )
    check_size(path, math.prod(shape) * kind.itemsize, os.path.getsize(path))
    frame = choose_frame(path, shape[3], choice.frame) if used == 4 else 0
    with broken(path, 'NIfTI'):
        forms = {'sform': image.get_sform(coded=True), 'qform': image.get_qform(coded=True)}
    proxy: Any = image.dataobj
    return StoredNifti(
        path=path,
        shape=three(shape[:3]),
        dtype=kind if (proxy.slope, proxy.inter) == (1, 0) else np.dtype(np.float64),
        flat=used == 2,
        affines={name: affine for name, (affine, code) in forms.items() if code},
        sizes=_sizes(image, min(used, 3)),
        step=abs(float(proxy.slope)) if kind.kind in 'iu' and proxy.slope != 1 else 0.0,
        quick=() if path.lower().endswith('.gz') else (0, 1, 2),
        image=image,
        rest=(frame, *(0 for _ in shape[4:])) if len(shape) > 3 else (),
    )


def _way_out(path: str) -> str:
    """Say what helps: nibabel takes a packed file for one by its name alone."""
    with open(path, 'rb') as file:
        packed = file.read(2) == b'\x1f\x8b'
    if packed and not path.lower().endswith('.gz'):
        return f'It is packed by gzip: rename it to {os.path.basename(path)}.gz.'
    return 'Copy it again.'


def _sizes(image: Any, axes: int) -> tuple[float, ...]:
    unit = {'meter': 1000.0, 'micron': 0.001}.get(image.header.get_xyzt_units()[0], 1.0)
    return tuple(unit * float(size) for size in image.header.get_zooms()[:axes])
