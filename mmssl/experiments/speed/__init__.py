"""What a start, several processes and the levers for speed cost and change."""

from mmssl.experiments.speed.curves import add_curves
from mmssl.experiments.speed.scaling import add_scaling
from mmssl.experiments.speed.start import add_start

__all__ = ['add_curves', 'add_scaling', 'add_start']
