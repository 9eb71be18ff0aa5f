"""Overlays of segmentations and curves of trainings."""

from mmssl.visualization.curves import plot_panels, plot_training, read_scalars
from mmssl.visualization.overlay import draw_overlay, overlay_strip, write_image
from mmssl.visualization.planes import as_picture, volume_strip

__all__ = [
    'as_picture',
    'draw_overlay',
    'overlay_strip',
    'plot_panels',
    'plot_training',
    'read_scalars',
    'volume_strip',
    'write_image',
]
