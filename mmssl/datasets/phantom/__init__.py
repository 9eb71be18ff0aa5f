"""A made-up data set of several scanners, as slices or volumes."""

from mmssl.datasets.phantom.slices import PhantomSettings, write_phantom
from mmssl.datasets.phantom.volumes import VolumeSettings, write_phantom_volumes

__all__ = ['PhantomSettings', 'VolumeSettings', 'write_phantom', 'write_phantom_volumes']
