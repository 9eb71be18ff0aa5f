"""Data sets, samplers, transforms and collate functions; importing this registers them."""

from . import collate, medical, mixed_domain, samplers, transforms, volume_sets

__all__ = ['collate', 'medical', 'mixed_domain', 'samplers', 'transforms', 'volume_sets']
