"""One file for every published method."""

from .ddpm import DDPM
from .fixmatch import FixMatch
from .mcsd import MCSD
from .mean_teacher import MeanTeacher
from .sup_only import SupOnly
from .synfoc import SynFoC
from .ua_mt import UAMT
from .unimatch import UniMatch

__all__ = [
    'DDPM',
    'FixMatch',
    'MCSD',
    'MeanTeacher',
    'SupOnly',
    'SynFoC',
    'UAMT',
    'UniMatch',
]
