"""How long a command takes to start, and what several processes spend on each other."""

from mmssl.experiments.speed.scaling import add_scaling
from mmssl.experiments.speed.start import add_start

__all__ = ['add_scaling', 'add_start']
