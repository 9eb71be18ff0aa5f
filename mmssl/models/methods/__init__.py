"""One file for every published method."""

from .fixmatch import FixMatch
from .sup_only import SupOnly
from .synfoc import SynFoC

__all__ = ['FixMatch', 'SupOnly', 'SynFoC']
