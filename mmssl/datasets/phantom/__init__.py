"""A made-up data set of several scanners, as slices or volumes."""

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes
from mmssl.datasets.phantom.whole import WholeSettings, write_phantom_whole

__all__ = [
    'PhantomSettings',
    'VolumeSettings',
    'WholeSettings',
    'write_phantom',
    'write_phantom_volumes',
    'write_phantom_whole',
]
