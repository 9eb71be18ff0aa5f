"""What is in a file: pictures, slices and volumes as arrays, with their geometry."""

from mmssl.datasets.reading.decode import decode_image, decode_mask, known_suffixes
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.label_map import LabelMap
from mmssl.datasets.reading.volumes import file_spacing, read_volume, volume_affine, volume_shape

__all__ = [
    'DataError',
    'LabelMap',
    'decode_image',
    'decode_mask',
    'file_spacing',
    'known_suffixes',
    'read_volume',
    'volume_affine',
    'volume_shape',
]
