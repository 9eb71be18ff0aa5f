"""Former place of `reading.volumes`."""

from .reading.containers import HDF5_SUFFIXES, NIFTI_SUFFIXES, VOLUME_SUFFIXES, holds_volumes
from .reading.volumes import file_spacing, read_slice, read_volume, volume_limits, volume_shape

__all__ = [
    'HDF5_SUFFIXES',
    'NIFTI_SUFFIXES',
    'VOLUME_SUFFIXES',
    'file_spacing',
    'holds_volumes',
    'read_slice',
    'read_volume',
    'volume_limits',
    'volume_shape',
]
