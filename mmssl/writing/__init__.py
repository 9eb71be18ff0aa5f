"""Masks and maps as files of the kind of their image, lying where it lies."""

from mmssl.writing.labels import Labels
from mmssl.writing.maps import map_suffix, write_map
from mmssl.writing.masks import mask_suffix, write_mask

__all__ = ['Labels', 'map_suffix', 'mask_suffix', 'write_map', 'write_mask']
