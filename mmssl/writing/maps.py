"""Maps of numbers from 0 to 1, such as probabilities, beside a mask."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmssl.datasets.reading import ImageFile
from mmssl.utils.io import whole_file
from mmssl.writing.nifti import write_nifti

STEPS = 65535  # of the whole numbers of two bytes that stand for 0 to 1


def map_suffix(file: ImageFile) -> str:
    """Return the suffix of the maps of an image: TIFF for a picture, NIfTI for all else."""
    return '.tif' if file.kind in ('picture', 'tiff') else '.nii.gz'


def write_map(path: Path, maps: np.ndarray, file: ImageFile) -> None:
    """Write maps that lie on an image, whole or not at all.

    NIfTI has them as whole numbers with a slope, 1/65535 apart, a fourth axis for the classes; TIFF
    as float32, a page for each map and slice.

    Args:
        path: the file, with the suffix of `map_suffix`.
        maps: numbers from 0 to 1, as the image was read, (H, W) or (Z, H, W); or one for each
            class, with an axis (C, ...) before.
        file: the image.
    """
    several = maps.ndim > len(file.shape)
    if path.suffix == '.tif':
        pages = maps.reshape(-1, *maps.shape[-2:]).astype(np.float32)
        first, *rest = [Image.fromarray(page) for page in pages]
        with whole_file(path) as out:
            first.save(
                out, 'TIFF', save_all=True, append_images=rest, compression='tiff_adobe_deflate'
            )
        return
    stacked = [file.restore(_whole_numbers(one)) for one in (maps if several else maps[None])]
    flat = [one[..., None] if one.ndim == 2 else one for one in stacked]
    stored = np.stack(flat, axis=-1) if several else stacked[0]
    write_nifti(path, stored, file, 1 / STEPS)


def _whole_numbers(one: np.ndarray) -> np.ndarray:
    """Return uint16, slice by slice: float32 of a whole volume may not fit into memory."""
    out = np.empty(one.shape, np.uint16)
    for target, part in zip(out, one, strict=True):
        target[...] = np.rint(part.astype(np.float32) * STEPS)
    return out
