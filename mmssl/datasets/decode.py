"""From files to arrays: images as uint8 HWC, masks as uint8 HW of class ids.

A reader of pictures is chosen by the file's suffix, so that another format is one entry in
`READERS`; HDF5 and NIfTI, whose files can hold many slices, are read by `volumes`.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from .errors import DataError
from .label_map import LabelMap
from .volumes import VOLUME_SUFFIXES, holds_volumes, read_slice, volume_limits

__all__ = ['DataError', 'LabelMap', 'READERS', 'decode_image', 'decode_mask', 'read_array']

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


def _check_png(data: bytes, path: str) -> None:
    """Walk through the chunks of a PNG file: OpenCV may read a truncated one without a word."""
    position = len(PNG_SIGNATURE)
    kind = b''
    while kind != b'IEND':
        length = int.from_bytes(data[position : position + 4], 'big')
        kind = data[position + 4 : position + 8]
        body = position + 8 + length
        if len(data) < body + 4:
            raise DataError(
                f'{path} is truncated ({len(data)} bytes, no end of image). Copy the file again.'
            )
        stored = int.from_bytes(data[body : body + 4], 'big')
        if zlib.crc32(data[position + 4 : body]) != stored:
            raise DataError(
                f'{path} is corrupt (checksum of its {kind.decode("latin-1")} part at byte '
                f'{position} is wrong). Copy the file again.'
            )
        position = body + 4


def _check_jpeg(data: bytes, path: str) -> None:
    """Ask for the end marker after the last scan."""
    if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
        raise DataError(
            f'{path} is truncated ({len(data)} bytes, no end of image). Copy the file again.'
        )


def read_picture(path: str) -> np.ndarray:
    """Read a PNG, JPEG, BMP or TIFF file as stored: (H, W) or (H, W, 3), colour order RGB.

    An alpha channel is dropped; a palette is expanded to its colours.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is empty, truncated, corrupt or no picture.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist.') from None
    if not data:
        raise DataError(f'{path} is empty (0 bytes). Copy the file again.')
    if data.startswith(PNG_SIGNATURE):
        _check_png(data, path)
    elif data.startswith(b'\xff\xd8'):
        _check_jpeg(data, path)
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        array = None
    if array is None:
        raise DataError(f'{path} cannot be decoded as a picture. Replace the file.')
    if array.ndim == 2:
        return array
    return np.ascontiguousarray(array[..., 2::-1])


READERS: dict[str, Callable[[str], np.ndarray]] = {
    suffix: read_picture for suffix in ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
}


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


def read_array(path: str, key: str, index: int | None = None) -> np.ndarray:
    """Read a picture, (H, W) or (H, W, 3), or a slice (H, W) of an HDF5 or NIfTI file.

    Args:
        path: the file.
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.

    Raises:
        DataError: the file is broken, or no reader is known for its suffix.
    """
    if holds_volumes(path):
        return read_slice(path, key, index)
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise DataError(f'{path}: no reader for "{suffix}" (known: {", ".join(known_suffixes())}).')
    return READERS[suffix](path)


def decode_image(
    path: str,
    channels: int = 1,
    key: str = 'image',
    index: int | None = None,
    value_range: tuple[float, float] | str | None = None,
) -> np.ndarray:
    """Read an image as uint8 (H, W, C), colour order RGB.

    Args:
        path: the file.
        channels: 1 (colour becomes luma, ITU-R 601) or 3 (grey is repeated).
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.
        value_range: the intensities that become 0 and 255, see `scale_to_uint8`; pictures of
            8 bit are taken as they are.

    Raises:
        DataError: the file is broken, or not of 8 bit and no range is given.
    """
    if channels not in (1, 3):
        raise ValueError(f'channels must be 1 or 3, not {channels!r}.')
    image = read_array(path, key, index)
    if value_range is not None and (holds_volumes(path) or image.dtype != np.uint8):
        if value_range == 'volume':
            limits = volume_limits(path, key) if holds_volumes(path) else None
            value_range = limits or (image.min(), image.max())
        image = scale_to_uint8(image, value_range, path)
    if image.dtype != np.uint8:
        raise DataError(
            f'{path} has type {image.dtype} (values {image.min()} to {image.max()}); images are '
            'of 8 bit. Say which intensities become 0 and 255: value_range=(0, 1) or "volume" '
            '(smallest and largest of the file).'
        )
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


def _whole_numbers(mask: np.ndarray, path: str) -> np.ndarray:
    """Return label values as uint16, whatever numeric type a file has them in."""
    if mask.dtype in (np.uint8, np.uint16):
        return mask
    with np.errstate(invalid='ignore'):
        whole = mask.astype(np.uint16)
    wrong = mask[whole != mask]
    if wrong.size:
        raise DataError(
            f'Mask {path} has value {wrong.flat[0]}; labels are whole numbers from 0 to 65535. '
            'Correct the file; a mask must not be interpolated.'
        )
    return whole


def decode_mask(
    paths: str | Sequence[str],
    label_map: LabelMap,
    shape: tuple[int, int] | None = None,
    key: str = 'label',
    index: int | None = None,
) -> np.ndarray:
    """Read the mask of one image as class ids, uint8 (H, W).

    Several files (one for each lesion, say) are mapped one by one and merged by the larger id.

    Args:
        paths: one file or several.
        label_map: what the values mean.
        shape: height and width of the image in pixels; None does not compare.
        key: name of the dataset in an HDF5 file.
        index: number of the slice where the file is a volume.

    Raises:
        DataError: a file is broken, of another size than the image, or has an unlisted value.
    """
    paths = [paths] if isinstance(paths, str) else list(paths)
    merged = None
    for path in paths:
        stored = read_array(path, key, index)
        if holds_volumes(path):
            stored = _whole_numbers(stored, path)
        if shape is not None and stored.shape[:2] != tuple(shape):
            raise DataError(
                f'Mask {path} is {stored.shape[0]}x{stored.shape[1]}, its image '
                f'{shape[0]}x{shape[1]} pixels (height x width). Replace one of the two.'
            )
        classes = label_map(stored, path)
        merged = classes if merged is None else np.maximum(merged, classes)
    if merged is None:
        raise ValueError('decode_mask needs at least one file.')
    return merged
