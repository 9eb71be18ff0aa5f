"""A mask as a file of the kind of its image, with its geometry."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mmssl.datasets.reading import ImageFile, split_suffix
from mmssl.utils.io import whole_file, write_atomic
from mmssl.writing.dicom_seg import write_dicom_seg
from mmssl.writing.itk import write_itk
from mmssl.writing.labels import Labels
from mmssl.writing.nifti import write_nifti

DETACHED = {'.mhd': '.mha', '.nhdr': '.nrrd'}
"""Formats whose voxels lie in a file of their own, and those of one file that are written."""
TIFF = ('.tif', '.tiff')


def mask_suffix(file: ImageFile) -> str:
    """Return the suffix of the mask of an image: NIfTI for NIfTI, PNG for a photograph.

    Example:
        >>> from types import SimpleNamespace as File
        >>> [mask_suffix(File(kind=k, path=p)) for k, p in (('picture', 'a.JPG'), ('itk', 'b.mhd'))]
        ['.png', '.mha']
    """
    suffix = split_suffix(file.path)[1].lower()
    if file.kind == 'dicom':
        return '.dcm'
    if file.kind == 'picture':
        return '.tif' if suffix in TIFF else '.png'
    return DETACHED.get(suffix, suffix)


def write_mask(path: Path, classes: np.ndarray, file: ImageFile, labels: Labels) -> None:
    """Write class ids as a mask that lies on its image, whole or not at all.

    Args:
        path: the mask, with the suffix of `mask_suffix`.
        classes: uint8 class ids (H, W) or (Z, H, W), as the image was read.
        file: the image.
        labels: what the class ids mean.

    Raises:
        ValueError: the mask has another shape than its image, or the image's header cannot bear it.
    """
    stored = file.restore(np.ascontiguousarray(classes, np.uint8))
    _WRITERS[file.kind](path, stored, file, labels)


def _write_picture(path: Path, stored: np.ndarray, file: ImageFile, labels: Labels) -> None:
    _save([stored.T], path, file, labels)


def _write_tiff(path: Path, stored: np.ndarray, file: ImageFile, labels: Labels) -> None:
    _save([*stored.T] if stored.ndim == 3 else [stored.T], path, file, labels)


def _save(pages: list[np.ndarray], path: Path, file: ImageFile, labels: Labels) -> None:
    """Write pages of class ids whose palette has the colours of the classes."""
    images = [Image.fromarray(np.ascontiguousarray(page)) for page in pages]
    options: dict = {}
    if path.suffix.lower() in TIFF:
        options = dict(save_all=True, append_images=images[1:], compression='tiff_adobe_deflate')
    else:
        images[0].putpalette([value for colour in labels.colours for value in colour])
    if file.spacing is not None:  # pixels an inch
        options['dpi'] = tuple(25.4 / size for size in file.spacing[:-3:-1])
    content = io.BytesIO()
    images[0].save(content, 'TIFF' if path.suffix.lower() in TIFF else 'PNG', **options)
    write_atomic(path, content.getvalue())


def _write_hdf5(path: Path, stored: np.ndarray, file: ImageFile, labels: Labels) -> None:
    import h5py

    with whole_file(path) as out, h5py.File(out, 'w') as content:
        data = content.create_dataset('label', data=stored.T, compression='gzip')
        if file.spacing is not None:
            data.attrs['spacing'] = file.spacing


_WRITERS: dict[str, Callable[[Path, np.ndarray, ImageFile, Labels], None]] = {
    'picture': _write_picture,
    'tiff': _write_tiff,
    'nifti': lambda path, stored, file, labels: write_nifti(path, stored, file),
    'dicom': write_dicom_seg,
    'itk': write_itk,
    'hdf5': _write_hdf5,
}
