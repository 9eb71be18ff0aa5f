"""The data sets that can be converted, a file each; `CONVERTERS` finds them by name.

For the package itself; nothing is public but the table.
"""

from mmssl.converters.base import Converter
from mmssl.converters.sets.acdc import ACDC
from mmssl.converters.sets.busi import BUSI
from mmssl.converters.sets.folder import Folder
from mmssl.converters.sets.fundus import Fundus
from mmssl.converters.sets.left_atrium import LeftAtrium
from mmssl.converters.sets.mnms import MNMs
from mmssl.converters.sets.msd import MSD
from mmssl.converters.sets.prostate import Prostate

CONVERTERS: dict[str, type[Converter]] = {
    cls.name: cls for cls in (ACDC, MNMs, Prostate, Fundus, BUSI, LeftAtrium, MSD, Folder)
}

__all__ = ['CONVERTERS']
