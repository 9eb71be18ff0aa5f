"""Former place of `reading.label_map`."""

from .reading.label_map import LabelMap

__all__ = ['LabelMap']
