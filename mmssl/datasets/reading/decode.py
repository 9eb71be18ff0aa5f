"""From files to arrays: images as uint8 HWC, masks as uint8 HW of class ids.

A reader of pictures is chosen by the file's suffix, so that another format is one entry in
`READERS`; files that can hold many slices are read by `volumes`. Training and
prediction read images with `read_image`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.formats import PICTURES, VOLUME_SUFFIXES, holds_volumes
from mmssl.datasets.reading.formats.tiff import picture_spacing
from mmssl.datasets.reading.geometry import CANONICAL, Axes, Turn
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.masks import what_counts, whole_numbers
from mmssl.datasets.reading.pictures import Picture, read_picture
from mmssl.datasets.reading.volumes import (
    Source,
    file_spacing,
    look_at,
    read_slice,
    value_step,
    volume_affine,
    volume_limits,
    volume_turn,
)

__all__ = ['DataError', 'LabelMap', 'READERS', 'Scan', 'decode_image', 'decode_mask', 'read_image']

READERS: dict[str, Callable[[str], Picture | np.ndarray]] = {
    suffix: read_picture for suffix in PICTURES
}


class Scan(NamedTuple):
    """An image with its place in the patient.

    Attributes:
        array: uint8 (H, W, C), colour order RGB.
        spacing: size of a pixel or voxel in mm, in the order of the axes, where the file says it.
        affine: what maps (column, row, slice) to RAS in mm, where the file says it.
    """

    array: np.ndarray
    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None


def known_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all files that can be read."""
    return (*READERS, *VOLUME_SUFFIXES)


def split_suffix(file: str) -> tuple[str, str]:
    """Split a file name into its name and its suffix, `.nii.gz` being one suffix.

    Example:
        >>> split_suffix('patient001_frame01.nii.gz')
        ('patient001_frame01', '.nii.gz')
    """
    if file.lower().endswith('.nii.gz'):
        return file[:-7], file[-7:]
    path = Path(file)
    return file[: len(file) - len(path.suffix)], path.suffix


def open_picture(path: str) -> Picture:
    """Read a picture with the reader of its suffix.

    Raises:
        DataError: the file is broken, or no reader is known for its suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise DataError(
            f'{path}: no reader for "{suffix}" (known: {", ".join(known_suffixes())}). Save it in '
            'one of these formats.'
        )
    picture = READERS[suffix](path)
    return picture if isinstance(picture, Picture) else Picture(picture)


def read_array(path: str, key: str, index: int | None = None, axes: Axes = CANONICAL) -> np.ndarray:
    """Read a picture, (H, W) or (H, W, 3), or a slice (H, W) of a volume.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.
        axes: how a volume is cut.

    Raises:
        DataError: the file is broken, no reader is known for its suffix, or what it shows is
            hidden in its palette or alpha channel.
    """
    if holds_volumes(path):
        return read_slice(path, key, index, axes)
    picture = open_picture(path)
    beside = [plane for plane in (picture.indices, picture.alpha) if plane is not None]
    if beside:
        pixels = picture.pixels
        if (pixels == pixels[:1, :1]).all() and (beside[0] != beside[0][0, 0]).any():
            what = 'numbers of its palette' if picture.indices is not None else 'alpha channel'
            raise DataError(
                f'{path} has one colour, {np.ravel(pixels[0, 0]).tolist()}; what it shows is in '
                f'the {what}. Save that as a greyscale picture.'
            )
    return picture.pixels


def decode_image(
    path: str,
    channels: int = 1,
    key: str = 'image',
    index: int | None = None,
    value_range: tuple[float, float] | str | None = None,
    axes: Axes = CANONICAL,
) -> np.ndarray:
    """Read an image as uint8 (H, W, C), colour order RGB.

    Args:
        path: the file.
        channels: 1 (colour becomes luma, ITU-R 601) or 3 (grey is repeated).
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.
        value_range: the intensities that become 0 and 255, see `scale_to_uint8`; pictures of
            8 bit are taken as they are. They are those that are seen: a DICOM picture whose small
            values are bright (MONOCHROME1) is inverted before.
        axes: which volume of a file is read, and how it is cut.

    Raises:
        DataError: the file is broken, or not of 8 bit and no range is given.
    """
    image = read_array(path, key, index, axes)
    if not holds_volumes(path):
        return to_channels(to_uint8(image, value_range, path), channels)
    top = look_at(path, key, axes).top
    if top is not None:
        image = (top - image).astype(image.dtype)
    limits = value_range
    if value_range == 'volume':
        low, high = volume_limits(path, key, axes)
        limits = (low, high) if top is None else (top - high, top - low)
    return to_channels(to_uint8(image, limits, path, value_range is not None), channels)


def read_image(
    path: str,
    channels: int = 1,
    key: str = 'image',
    index: int | None = None,
    value_range: tuple[float, float] | str | None = None,
    axes: Axes = CANONICAL,
) -> Scan:
    """Read an image and where it lies; arguments and errors as of `decode_image`."""
    array = decode_image(path, channels, key, index, value_range, axes)
    if not holds_volumes(path):
        return Scan(array, picture_spacing(path))
    return Scan(array, file_spacing(path, key, axes), volume_affine(path, key, axes))


def to_uint8(
    image: np.ndarray,
    value_range: tuple[float, float] | str | None,
    path: str = 'the image',
    always: bool = False,
) -> np.ndarray:
    """Bring intensities to 8 bit.

    Args:
        image: the intensities.
        value_range: those that become 0 and 255; 'volume' for the image's own.
        path: the file, for messages.
        always: scale those of 8 bit, too.

    Raises:
        DataError: the image is not of 8 bit and no range is given, or the range does not fit.
    """
    if image.dtype == np.uint8 and not always:
        return image
    if value_range is None:
        if image.dtype == np.uint8:
            return image
        low, high = (float(value) for value in (np.nanmin(image), np.nanmax(image)))
        raise DataError(
            f'{path} has type {image.dtype} (values {low:g} to {high:g}); images are of 8 bit. '
            'Say which intensities become 0 and 255: value_range="volume" (smallest and largest '
            f'of each file) or, the same for all files, value_range=({low:g}, {high:g}).'
        )
    if isinstance(value_range, str):  # 'volume'
        value_range = (image.min(), image.max())
    return scale_to_uint8(image, value_range, path)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Bring a uint8 image (H, W) or (H, W, C) to one channel (luma) or three, (H, W, C).

    Raises:
        ValueError: the number of channels is another one.
    """
    if channels not in (1, 3):
        raise ValueError(f'channels must be 1 or 3, not {channels!r}.')
    if image.ndim == 2:
        image = image[..., None]
    if channels == image.shape[2]:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def scale_to_uint8(
    image: np.ndarray, value_range: tuple[float, float], path: str = 'the image'
) -> np.ndarray:
    """Map intensities to 0..255: floor(255 (x - low) / (high - low)), clipped.

    The fraction is cut off, not rounded, as by `(255 * x).astype(uint8)` in UniMatch's code.

    Args:
        image: the intensities.
        value_range: (low, high); an image of one value becomes 0 where both are equal.
        path: the file, for messages.

    Raises:
        DataError: the image holds NaN or infinity, or most of it lies above the range.

    Example:
        >>> scale_to_uint8(np.array([[-1, 0, 0.5, 1]]), (0, 1)).tolist()
        [[0, 0, 127, 255]]
    """
    low, high = (float(value) for value in value_range)
    if not np.isfinite(image).all():
        raise DataError(f'{path} holds NaN or infinity. Replace these values.')
    if np.count_nonzero(image > high) > image.size / 2:
        raise DataError(
            f'{path} has values {image.min():g} to {image.max():g}, most of them above '
            f'value_range = ({low:g}, {high:g}). Set value_range to the intensities of the file, '
            'or "volume" for its smallest and largest.'
        )
    if image.dtype not in (np.float32, np.float64):
        image = image.astype(np.float64)
    if high <= low:
        return np.zeros(image.shape, np.uint8)
    return np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def _mask_values(
    path: str, label_map: LabelMap, source: Source, index: int | None, like: Source | None,
    axes: Axes,
) -> Picture:  # fmt: skip
    """Return the values of a mask as whole numbers, (H, W) or (H, W, 3)."""
    step = 0.0
    if holds_volumes(path):
        stored = Picture(read_slice(*source, index, axes, like))
        if stored.pixels.dtype.kind == 'f':
            step = value_step(*source, axes, like)
    else:
        stored = open_picture(path)
        stored = stored._replace(pixels=what_counts(stored, label_map, path))
        if like is not None and holds_volumes(like.path):
            _check_plain(path, like, axes)
    return stored._replace(pixels=whole_numbers(stored.pixels, path, label_map, step))


def _check_plain(path: str, image: Source, axes: Axes) -> None:
    """Refuse a picture as mask of a volume that is turned."""
    if volume_turn(*image, axes) != Turn():
        raise DataError(
            f'Mask {path} is a picture, its image {image.path} is turned by its affine. Save the '
            'mask as NIfTI with the affine of its image, or set geometry="stored".'
        )


def decode_mask(
    paths: str | Sequence[str],
    label_map: LabelMap,
    shape: tuple[int, int] | None = None,
    key: str = 'label',
    index: int | None = None,
    like: Source | None = None,
    axes: Axes = CANONICAL,
) -> np.ndarray:
    """Read the mask of one image as class ids, uint8 (H, W).

    Several files (one for each lesion, say) are mapped one by one and merged by the larger id.

    Args:
        paths: one file or several.
        label_map: what the values mean.
        shape: height and width of the image in pixels; None does not compare.
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.
        like: the image, onto whose grid the mask of a volume is turned.
        axes: how a volume is cut.

    Raises:
        DataError: a file is broken, of another size or grid than the image, or has an unlisted
            value.
    """
    paths = [paths] if isinstance(paths, str) else list(paths)
    merged = None
    for path in paths:
        stored = _mask_values(path, label_map, Source(path, key), index, like, axes)
        if shape is not None and stored.pixels.shape[:2] != tuple(shape):
            _refuse_size(path, stored, shape, like)
        classes = label_map(stored.pixels, path, stored.lossy)
        merged = classes if merged is None else np.maximum(merged, classes)
    if merged is None:
        raise ValueError('decode_mask needs at least one file.')
    return merged


def _refuse_size(path: str, mask: Picture, shape: tuple[int, int], like: Source | None) -> None:
    found = mask.pixels.shape[:2]
    advice = 'Replace one of the two.'
    if found == shape[::-1] and like is not None:
        tags = f'{mask.tag}' if mask.tag > 1 else 'none'
        if not holds_volumes(like.path):
            tags += f', that of its image {open_picture(like.path).tag}'
        advice = (
            'One of them lies on its side: orientation tags are obeyed (that of the mask is '
            f'{tags}). Turn the mask so that it lies as its image is seen, or save both without '
            'a tag (PIL.ImageOps.exif_transpose).'
        )
    raise DataError(
        f'Mask {path} is {found[0]}x{found[1]}, its image {shape[0]}x{shape[1]} pixels '
        f'(height x width). {advice}'
    )
