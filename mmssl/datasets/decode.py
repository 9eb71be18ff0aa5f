"""From files to arrays: images as uint8 HWC, masks as uint8 HW of class ids.

A reader is chosen by the file's suffix, so that another format is one entry in `READERS`.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'


class DataError(ValueError):
    """A fault in a data file; the message names the file, the value found and the fix."""


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


def read_array(path: str) -> np.ndarray:
    """Read a file with the reader of its suffix.

    Raises:
        DataError: no reader is known for the suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise DataError(f'{path}: no reader for "{suffix}" (known: {", ".join(READERS)}).')
    return READERS[suffix](path)


def decode_image(path: str, channels: int = 1) -> np.ndarray:
    """Read an image as uint8 (H, W, C), colour order RGB.

    Args:
        path: the file.
        channels: 1 (colour becomes luma, ITU-R 601) or 3 (grey is repeated).

    Raises:
        DataError: the file is broken or not of 8 bit.
    """
    if channels not in (1, 3):
        raise ValueError(f'channels must be 1 or 3, not {channels!r}.')
    image = read_array(path)
    if image.dtype != np.uint8:
        raise DataError(
            f'{path} has type {image.dtype} (values {image.min()} to {image.max()}); images are '
            'of 8 bit. Convert it, choosing the range of intensities yourself.'
        )
    if image.ndim == 2:
        image = image[..., None]
    if channels == image.shape[2]:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def _key_values(key: int | str | Sequence[int]) -> tuple[int, ...]:
    """Return a label map's key as (value,), (low, high) or (red, green, blue)."""
    if isinstance(key, str):
        key = [int(part) for part in key.replace('-', ',').split(',')]
    values = (key,) if isinstance(key, int | np.integer) else tuple(key)
    if len(values) > 3 or not all(0 <= int(value) <= 65535 for value in values):
        raise ValueError(
            f'Label map key {key!r} is not a value, a range (low, high) or a colour (r, g, b).'
        )
    return tuple(int(value) for value in values)


class LabelMap:
    """What the values of a mask file mean: value, range of values or colour -> class id.

    Keys are single values (`128`), ranges with both ends included (`(1, 128)` or `'1-128'`), or
    colours (`(255, 0, 0)` or `'255,0,0'`); colours do not mix with the other two. A value that
    is not listed is an error.

    Args:
        mapping: key -> class id; 0 is the background.
        nearest: take the nearest listed value instead of raising, for masks that went through
            a lossy format.

    Example:
        >>> fundus = LabelMap({0: 1, 128: 2, 255: 0})
        >>> fundus(np.array([[0, 128, 255]], np.uint8)).tolist()
        [[1, 2, 0]]
    """

    def __init__(self, mapping: Mapping, nearest: bool = False) -> None:
        keys = [_key_values(key) for key in mapping]
        if not keys:
            raise ValueError('The label map is empty.')
        self.colour = len(keys[0]) == 3
        if any((len(key) == 3) != self.colour for key in keys):
            raise ValueError(f'The label map mixes colours with values: {dict(mapping)}.')
        self.entries = list(zip(keys, (int(item) for item in mapping.values()), strict=True))
        self.nearest = nearest
        self.num_classes = max(item for _, item in self.entries) + 1
        if self.colour:
            self._table = None
        else:
            self._table = self._lookup_table()

    def __repr__(self) -> str:
        """Show the entries as they are written in a config."""
        parts = []
        for key, item in self.entries:
            name = f'{key[0]}' if len(key) == 1 else '-'.join(map(str, key))
            parts.append(f'{key if self.colour else name} -> {item}')
        return ', '.join(parts)

    @classmethod
    def build(cls, spec: 'LabelMap | Mapping') -> 'LabelMap':
        """Make a label map from itself, a plain mapping or `dict(mapping=..., nearest=True)`."""
        if isinstance(spec, cls):
            return spec
        return cls(**spec) if 'mapping' in spec else cls(spec)

    def _lookup_table(self) -> np.ndarray:
        """Return class ids for values 0..65535, -1 where none is listed."""
        table = np.full(65536, -1, np.int16)
        for key, item in self.entries:
            low, high = key[0], key[-1]
            if high < low or (table[low : high + 1] >= 0).any():
                raise ValueError(f'Label map range {key} is empty or overlaps another one.')
            table[low : high + 1] = item
        if self.nearest:
            listed = np.flatnonzero(table >= 0)
            middles = (listed[1:] + listed[:-1]) / 2
            table = table[listed[np.searchsorted(middles, np.arange(65536))]]
        return table

    def __call__(self, mask: np.ndarray, path: str = 'the mask') -> np.ndarray:
        """Turn a mask as stored, (H, W) or (H, W, 3), into class ids, uint8 (H, W).

        Raises:
            DataError: a value is not listed, or the mask is coloured and the map is not.
        """
        if self.colour:
            return self._map_colours(mask, path)
        if mask.ndim == 3:
            if not (mask == mask[..., :1]).all():
                raise DataError(
                    f'Mask {path} is coloured, the label map lists single values ({self}). '
                    'List colours instead: label_map={(255, 0, 0): 1, ...}.'
                )
            mask = mask[..., 0]
        if mask.dtype not in (np.uint8, np.uint16):
            raise DataError(f'Mask {path} has type {mask.dtype}; masks hold whole numbers.')
        classes = self._table[mask]
        if classes.min() < 0:
            self._refuse(np.unique(mask[classes < 0]), path)
        return classes.astype(np.uint8)

    def _map_colours(self, mask: np.ndarray, path: str) -> np.ndarray:
        if mask.ndim == 2:
            mask = np.repeat(mask[..., None], 3, axis=2)
        if self.nearest:
            listed = np.array([key for key, _ in self.entries], np.int32)
            distance = np.abs(mask[:, :, None].astype(np.int32) - listed).sum(-1)
            ids = np.array([item for _, item in self.entries], np.uint8)
            return ids[distance.argmin(-1)]
        weights = np.array([65536 * 65536, 65536, 1], np.uint64)
        code = (mask * weights).sum(-1)
        classes = np.full(mask.shape[:2], -1, np.int16)
        for key, item in self.entries:
            classes[code == (np.array(key, np.uint64) * weights).sum()] = item
        if classes.min() < 0:
            self._refuse(np.unique(mask[classes < 0], axis=0), path)
        return classes.astype(np.uint8)

    def _refuse(self, values: np.ndarray, path: str) -> None:
        shown = ', '.join(str(value) for value in values[:8].tolist())
        more = f' and {len(values) - 8} more' if len(values) > 8 else ''
        raise DataError(
            f'Mask {path} has value {shown}{more}, which the label map does not list ({self}). '
            'Add it to label_map, write a range such as "1-128", or set nearest=True.'
        )


def decode_mask(
    paths: str | Sequence[str],
    label_map: LabelMap,
    shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read the mask of one image as class ids, uint8 (H, W).

    Several files (one for each lesion, say) are mapped one by one and merged by the larger id.

    Args:
        paths: one file or several.
        label_map: what the values mean.
        shape: height and width of the image in pixels; None does not compare.

    Raises:
        DataError: a file is broken, of another size than the image, or has an unlisted value.
    """
    paths = [paths] if isinstance(paths, str) else list(paths)
    merged = None
    for path in paths:
        stored = read_array(path)
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
