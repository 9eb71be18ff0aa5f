"""The data sets that can be converted, a file each; `CONVERTERS` finds them by name.

For the package itself; nothing is public but the table.
"""

from mmssl.converters.base import Converter
from mmssl.converters.sets.acdc import ACDC

CONVERTERS: dict[str, type[Converter]] = {cls.name: cls for cls in (ACDC,)}

__all__ = ['CONVERTERS']
