"""Picture files of many kinds, written for a test."""

import io
import struct

import numpy as np
from PIL import Image

KINDS = {'u': 1, 'i': 2, 'f': 3}


def tiff(array: np.ndarray, orientation: int = 1, order: str = '<') -> bytes:
    """Return a TIFF file of any numeric type and number of channels, which Pillow cannot write."""
    height, width = array.shape[:2]
    samples = 1 if array.ndim == 2 else array.shape[2]
    data = np.ascontiguousarray(array, array.dtype.newbyteorder(order)).tobytes()
    bits, kind = 8 * array.dtype.itemsize, KINDS[array.dtype.kind]
    entries = {
        256: ('I', [width]), 257: ('I', [height]), 258: ('H', [bits] * samples), 259: ('H', [1]),
        262: ('H', [2 if samples >= 3 else 1]), 273: ('I', [8]), 274: ('H', [orientation]),
        277: ('H', [samples]), 278: ('I', [height]), 279: ('I', [len(data)]), 284: ('H', [1]),
        339: ('H', [kind] * samples),
    }  # fmt: skip
    if samples in (2, 4):
        entries[338] = ('H', [2])
    table, extra = struct.pack(order + 'H', len(entries)), b''
    beyond = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, (letter, values) in sorted(entries.items()):
        raw = struct.pack(order + letter * len(values), *values)
        table += struct.pack(order + 'HHI', tag, {'H': 3, 'I': 4}[letter], len(values))
        if len(raw) <= 4:
            table += raw.ljust(4, b'\0')
        else:
            table += struct.pack(order + 'I', beyond + len(extra))
            extra += raw
    head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', 8 + len(data))
    return head + data + table + struct.pack(order + 'I', 0) + extra


def tagged(image: Image.Image, orientation: int, kind: str = 'PNG', **options) -> bytes:
    """Return a picture file with an orientation tag."""
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(image, kind, exif=exif, **options)


def encoded(image: Image.Image | np.ndarray, kind: str = 'PNG', **options) -> bytes:
    """Return a picture file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(ids: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    """Return a picture of palette numbers; all 256 colours are black where none is given."""
    picture = Image.frombytes('P', ids.shape[::-1], ids.astype(np.uint8).tobytes())
    picture.putpalette([value for colour in colours for value in colour] or [0] * 768)
    return picture


def drawn(ids: np.ndarray, colour=(0, 0, 0), mode: str = 'RGBA') -> Image.Image:
    """Return a picture of one colour whose shape is in its alpha channel."""
    array = np.zeros((*ids.shape, 4), np.uint8)
    array[...] = (*colour, 0)
    array[ids > 0, 3] = 255
    return Image.fromarray(array).convert(mode)
