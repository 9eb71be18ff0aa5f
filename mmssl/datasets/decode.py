"""Former place of `reading.decode`."""

from .reading.decode import (
    READERS,
    DataError,
    LabelMap,
    decode_image,
    decode_mask,
    known_suffixes,
    read_array,
    scale_to_uint8,
    split_suffix,
)

__all__ = [
    'DataError',
    'LabelMap',
    'READERS',
    'decode_image',
    'decode_mask',
    'known_suffixes',
    'read_array',
    'scale_to_uint8',
    'split_suffix',
]
