"""Overlays of segmentations and curves of trainings."""

from .curves import plot_panels, plot_training, read_scalars
from .overlay import draw_overlay, overlay_strip, write_image

__all__ = [
    'draw_overlay',
    'overlay_strip',
    'plot_panels',
    'plot_training',
    'read_scalars',
    'write_image',
]
