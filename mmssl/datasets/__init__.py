"""Data sets, samplers, transforms and collate functions; importing this registers them."""

from . import transforms

__all__ = ['transforms']
