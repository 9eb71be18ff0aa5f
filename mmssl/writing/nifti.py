"""NIfTI files that lie where an image lies."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.datasets.reading import ImageFile
from mmssl.utils.io import whole_file


def write_nifti(path: Path, stored: np.ndarray, file: ImageFile, scale: float = 1.0) -> None:
    """Write an array with the affine of an image, and with its header if that is NIfTI.

    Args:
        path: `.nii` or `.nii.gz`.
        stored: whole numbers in the order of the image's file, with or without a fourth axis.
        file: the image.
        scale: what a reader multiplies the numbers by.
    """
    import nibabel

    original: Any = file.header() if file.kind == 'nifti' else None
    if original is None:
        affine = np.eye(4) if file.stored_affine is None else file.stored_affine
        image = nibabel.Nifti1Image(stored, affine)
        image.header.set_xyzt_units('mm')
    else:
        header = original.header.copy()
        header.set_data_dtype(stored.dtype)
        header['cal_min'] = header['cal_max'] = 0  # of the image's grey values
        header.extensions.clear()  # they may name the patient
        # Without an affine the header's own, qform and sform with their codes, is kept as it is.
        image = type(original)(stored, None, header)
    image.header.set_slope_inter(scale, 0)
    with whole_file(path) as out:
        if path.name.lower().endswith('.gz'):
            with gzip.GzipFile(fileobj=out, mode='wb', compresslevel=5, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(out)
