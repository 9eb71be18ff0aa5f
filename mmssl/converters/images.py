"""Reading what downloads are made of, and the few things that are done to values."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmssl.converters.faults import Unfit
from mmssl.utils.packaged import from_extra

TOLERANCE = 0.1
"""How far apart corners of image and mask may lie, in the smallest side of a voxel."""


class Volume(NamedTuple):
    """The voxels of a file in stored order (x, y, z) or (x, y, z, t).

    Attributes:
        voxels: the values, scaled as the header says.
        affine: stored index -> RAS in mm; None where the file does not say.
        spacing: size of a voxel along x, y and z in mm.
    """

    voxels: np.ndarray
    affine: np.ndarray | None
    spacing: tuple[float, ...]

    @property
    def slices(self) -> np.ndarray:
        """Return the voxels as (z, y, x), which is the order of SimpleITK's arrays."""
        return self.voxels.transpose(2, 1, 0)

    @property
    def steps(self) -> tuple[float, ...]:
        """Return the spacing as (z, y, x)."""
        return self.spacing[::-1]


@contextmanager
def broken(name: str, kind: str) -> Iterator[None]:
    """Turn what a library raises on a broken file into one sentence.

    Raises:
        Unfit: the block did not end well.
    """
    try:
        yield
    except Unfit:
        raise
    except FileNotFoundError:
        raise Unfit(f'{name} is missing.') from None
    except (OSError, EOFError, ValueError, RuntimeError, MemoryError, zlib.error) as error:
        said = ' '.join(str(error).split())[:200]
        raise Unfit(f'{name} cannot be read as {kind} ({said}). Get it again.') from None


def read_nifti(path: Path, name: str, axes: int = 3) -> Volume:
    """Read a NIfTI file.

    Args:
        path: the file.
        name: what messages call it.
        axes: 3 for a volume, 4 for one with frames.

    Raises:
        Unfit: the file is broken or has another number of axes.
    """
    import nibabel

    with broken(name, 'NIfTI'):
        try:
            image: Any = nibabel.load(path)
            if not isinstance(image, nibabel.Nifti1Image):
                raise ValueError(f'it is a file of {type(image).__name__}')
            voxels = np.asanyarray(image.dataobj)
        except (
            nibabel.filebasedimages.ImageFileError,
            nibabel.spatialimages.HeaderDataError,
            nibabel.wrapstruct.WrapStructError,
        ) as error:
            raise ValueError(str(error)) from None
    while voxels.ndim > axes and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != axes or 0 in voxels.shape or voxels.dtype.kind not in 'biuf':
        raise Unfit(
            f'{name} has shape {voxels.shape} and type {voxels.dtype}; {axes} axes of real numbers '
            'are needed.'
        )
    header = image.header
    said = header['sform_code'] > 0 or header['qform_code'] > 0
    spacing = tuple(float(size) for size in header.get_zooms()[:3])
    return Volume(voxels, np.asarray(image.affine) if said else None, spacing)


def read_nrrd(path: Path, name: str) -> Volume:
    """Read a volume that SimpleITK reads, such as NRRD; the affine is brought to RAS.

    Raises:
        Unfit: the file is broken or holds no volume of single values.
        SettingError: SimpleITK is not installed.
    """
    sitk = from_extra('SimpleITK', 'formats', 'NRRD')
    with broken(name, 'NRRD'):
        image = sitk.ReadImage(str(path))
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise ValueError(f'{image.GetDimension()} axes, a volume is needed')
        voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, image.GetSpacing())


def read_picture(path: Path, name: str, mode: str) -> np.ndarray:
    """Read a picture of 8 bit, upright, as (H, W) for mode 'L' or (H, W, 3) for 'RGB'.

    Raises:
        Unfit: the file is broken or is no picture of 8 bit.
    """
    from PIL import Image, ImageOps

    with broken(name, 'a picture'), Image.open(path) as picture:
        if picture.mode not in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA'):
            raise Unfit(f'{name} is a picture of kind "{picture.mode}"; 8 bit are needed.')
        return np.asarray(ImageOps.exif_transpose(picture).convert(mode))


def geometry_faults(image: Volume, mask: Volume, name: str, check_affine: bool = True) -> list[str]:
    """Return what sets a mask's grid apart from its image's, as sentences."""
    if image.voxels.shape != mask.voxels.shape:
        return [f'mask {name} has shape {mask.voxels.shape}, its image {image.voxels.shape}.']
    if not check_affine or image.affine is None or mask.affine is None:
        return []
    last = [size - 1 for size in image.voxels.shape[:3]]
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)], float)
    corners[:, :3] *= last
    apart = np.abs(corners @ (image.affine - mask.affine).T).max()
    if not apart <= TOLERANCE * min(image.spacing):
        return [
            f'mask {name} lies up to {apart:.3g} mm away from its image: their affines differ. '
            '--ignore-geometry compares the shapes alone.'
        ]
    return []


def whole_labels(
    values: np.ndarray, allowed: Sequence[int] | None, name: str
) -> tuple[np.ndarray, list[str]]:
    """Return label values as uint8, and what is wrong with them as sentences.

    Args:
        values: the mask, of any numeric type.
        allowed: the values that may be there; None allows all from 0 to 255.
        name: the file, for the sentences.
    """
    found = np.unique(values)
    whole = np.rint(found)
    wrong = found[~(np.abs(found - whole) <= 1e-3) | (whole < 0) | (whole > 255)]
    if not wrong.size and allowed is not None:
        wrong = found[~np.isin(whole, allowed)]
    if wrong.size:
        shown = ', '.join(f'{value:g}' for value in wrong[:5])
        expected = 'whole numbers up to 255' if allowed is None else ', '.join(map(str, allowed))
        return np.zeros(values.shape, np.uint8), [
            f'mask {name} has label values {shown} (expected: {expected}).'
        ]
    return np.rint(values).astype(np.uint8), []


def stretched(values: np.ndarray, name: str, clip: float = 0.0) -> np.ndarray:
    """Return values as float64 from 0 to 1 by their smallest and largest.

    Args:
        values: an image or a volume.
        name: the file, for messages.
        clip: share in percent that is cut off at either end first.

    Raises:
        Unfit: there are NaN or infinite values, or all are the same.
    """
    values = np.asarray(values, np.float64)
    low, high = np.percentile(values, [clip, 100 - clip]) if clip else (values.min(), values.max())
    if not np.isfinite([low, high]).all():
        raise Unfit(f'{name} holds NaN or infinite values.')
    if low == high:
        raise Unfit(f'{name} has the same value everywhere, {low:g}.')
    return np.clip((values - low) / (high - low), 0, 1)


def as_bytes(fractions: np.ndarray) -> np.ndarray:
    """Return values from 0 to 1 as 8 bit, what is left of a step cut off."""
    return (fractions * 255).astype(np.uint8)
