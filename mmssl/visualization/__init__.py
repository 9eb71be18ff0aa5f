"""Overlays of segmentations and curves of trainings."""

from mmssl.visualization.curves import plot_panels, plot_training, read_scalars
from mmssl.visualization.overlay import draw_overlay, overlay_strip, write_image

__all__ = [
    'draw_overlay',
    'overlay_strip',
    'plot_panels',
    'plot_training',
    'read_scalars',
    'write_image',
]
