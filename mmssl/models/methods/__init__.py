"""One file for every published method."""

from .ddpm import DDPM
from .fixmatch import FixMatch
from .mcsd import MCSD
from .sup_only import SupOnly
from .synfoc import SynFoC
from .unimatch import UniMatch

__all__ = ['DDPM', 'FixMatch', 'MCSD', 'SupOnly', 'SynFoC', 'UniMatch']
