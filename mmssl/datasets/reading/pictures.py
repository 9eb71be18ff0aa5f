"""PNG, JPEG, BMP, TIFF, GIF and WebP files: what the container holds, then its pixels.

Pillow says what is in a file, checks that it is whole and decodes 8 bits a channel. Its modes have
no room for colours of 16 bit and for most types of TIFF; OpenCV reads these.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmssl.datasets.reading.errors import DataError, check_file
from mmssl.datasets.reading.formats.tiff import ORIENTATION, first_directory

FORMATS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'GIF', 'WEBP')

# Twice Pillow's limit, from which on it raises.
MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)

# What turns stored pixels upright, by the orientation tag, as Pillow's ImageOps.exif_transpose.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


class Picture(NamedTuple):
    """What a picture file holds.

    Attributes:
        pixels: grey values (H, W) or colours (H, W, 3) in the order RGB.
        indices: numbers (H, W) into the palette, where the file has one.
        alpha: opacity (H, W), where it is not the same everywhere.
        tag: orientation tag that was obeyed, 1 without one.
        lossy: whether the format changes values, so that a mask of a few becomes one of many.
    """

    pixels: np.ndarray
    indices: np.ndarray | None = None
    alpha: np.ndarray | None = None
    tag: int = 1
    lossy: bool = False


def read_picture(path: str) -> Picture:
    """Read a picture by what it is, whatever its suffix says, and turn it upright by its tag.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is broken, no picture, or holds what is not one plane or three of
            numbers.
    """
    check_file(path)
    data = Path(path).read_bytes()
    try:
        if data[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
            picture = _read_tiff(data, path)
        else:
            picture = _read_with_pillow(data, path)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        found = re.search(r'\d+', str(error))
        raise _too_large(path, found.group() if found else 'too many') from None
    except UnidentifiedImageError:
        raise DataError(f'{path} cannot be decoded as a picture. Replace the file.') from None
    except Exception as error:  # a broken file can raise anything inside a decoder
        raise DataError(
            f'{path} is broken or cut off at {len(data)} bytes ({_line(error)}). '
            'Copy the file again.'
        ) from None
    return _each_plane(picture, np.ascontiguousarray)


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


def _too_large(path: str, pixels: int | str) -> DataError:
    return DataError(
        f'{path} announces {pixels} pixels; at most {MOST_PIXELS} are read at once. '
        'Cut it into tiles.'
    )


def _one_page(path: str, pages: int) -> None:
    if pages > 1:
        raise DataError(
            f'{path} holds {pages} pictures, one is expected. Save each into a file of its own, '
            'or all of them as one volume in HDF5 or NIfTI.'
        )


def _read_with_pillow(data: bytes, path: str) -> Picture:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.format != 'MPO':  # a photograph whose other pictures are previews and depth
        _one_page(path, getattr(image, 'n_frames', 1))
    image.load()
    if image.format == 'PNG' and b'IEND' not in data:
        raise ValueError('it has no end')
    tag = image.getexif().get(ORIENTATION, 1)
    if image.format == 'PNG' and data[24] == 16 and data[25] in (2, 4, 6):
        pixels, indices, alpha = _split_deep(data, grey=data[25] == 4)
    else:
        pixels, indices, alpha = _split(image, path)
    lossy = image.format in ('JPEG', 'MPO') or data[12:16] == b'VP8 '
    return _upright(Picture(pixels, indices, alpha, tag, lossy))


def _upright(picture: Picture) -> Picture:
    turn = _UPRIGHT.get(picture.tag)
    if turn is None:
        return picture._replace(tag=1)
    return _each_plane(picture, turn)


def _each_plane(picture: Picture, change: Callable[[np.ndarray], np.ndarray]) -> Picture:
    """Return a picture with its pixels, indices and opacity changed alike."""
    indices, alpha = picture.indices, picture.alpha
    return picture._replace(
        pixels=change(picture.pixels),
        indices=None if indices is None else change(indices),
        alpha=None if alpha is None else change(alpha),
    )


def _split(image: Image.Image, path: str) -> tuple:
    """Return pixels, indices and alpha of a picture that Pillow decodes without loss."""
    mode = image.mode
    array = np.asarray(image)
    if mode == 'P':
        colours = np.zeros((256, 3), np.uint8)  # what a palette leaves out is black
        listed = np.array(image.getpalette('RGB') or (), np.uint8).reshape(-1, 3)
        colours[: len(listed)] = listed
        return colours[array], array, None
    if mode in ('LA', 'RGBA'):
        colour = array[..., 0] if mode == 'LA' else array[..., :3]
        return colour, None, _varying(array[..., -1])
    if mode == '1':
        return array.astype(np.uint8) * 255, None, None
    if mode in ('L', 'RGB'):
        return array, None, None
    if mode.startswith('I') and image.format == 'PNG':
        return array.astype(np.uint16), None, None
    raise DataError(
        f'{path} is in the colour space {mode}, whose conversion depends on the program. Save it '
        'as RGB or as greyscale.'
    )


def _split_deep(data: bytes, grey: bool) -> tuple:
    """Return pixels, indices and alpha of colours that Pillow would cut down to 8 bit."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError('not decoded')
    if array.ndim == 2:
        return array, None, None
    alpha = _varying(array[..., 3]) if array.shape[2] == 4 else None
    return (array[..., 0] if grey else array[..., 2::-1]), None, alpha


def _varying(alpha: np.ndarray) -> np.ndarray | None:
    return None if (alpha == alpha.flat[0]).all() else alpha


def _read_tiff(data: bytes, path: str) -> Picture:
    """Read a TIFF by what its first directory says; both decoders obey the orientation tag."""
    file = io.BytesIO(data)
    facts, further = first_directory(file)
    tag = facts.get(ORIENTATION, 1)
    samples, bits = facts.get(277, 1), max(facts.get(258, (1,)))
    kind = {1: 'unsigned', 2: 'signed', 3: 'float'}.get(max(facts.get(339, (1,))), 'other')
    if facts[256] * facts[257] > MOST_PIXELS:
        raise _too_large(path, f'{facts[256]} x {facts[257]}')
    if further:
        _one_page(path, _count_pages(data))
    starts, counts = (facts.get(a, facts.get(b, ())) for a, b in ((273, 324), (279, 325)))
    if any(start + count > len(data) for start, count in zip(starts, counts, strict=False)):
        raise ValueError('its pixels end behind the end of the file')
    if bits <= 8 and kind == 'unsigned':
        try:
            image = Image.open(file, formats=['TIFF'])
        except UnidentifiedImageError:
            raise _odd_tiff(path, samples, bits, kind) from None
        image.load()
        pixels, indices, alpha = _split(image, path)
        return Picture(pixels, indices, alpha, tag, facts.get(259) in (6, 7))
    if samples != 1 and (samples not in (3, 4) or bits != 16 or kind != 'unsigned'):
        raise _odd_tiff(path, samples, bits, kind)
    try:
        pixels, _, alpha = _split_deep(data, grey=False)
    except (ValueError, cv2.error):
        raise _odd_tiff(path, samples, bits, kind) from None
    if pixels.dtype.itemsize * 8 < bits:
        raise _odd_tiff(path, samples, bits, kind)
    return Picture(pixels, None, alpha, tag)


def _count_pages(data: bytes) -> int:
    return getattr(Image.open(io.BytesIO(data), formats=['TIFF']), 'n_frames', 2)


def _odd_tiff(path: str, samples: int, bits: int, kind: str) -> DataError:
    return DataError(
        f'{path} has {samples} channel(s) of {bits} bit ({kind}), which cannot be read, or is '
        'broken. Save it with one or three channels of 8 or 16 bit, or one of 32-bit float.'
    )
