"""Downloads as their publishers give them, turned into the slices and volumes that configs read."""

from mmssl.converters.base import Converter, Item, Made
from mmssl.converters.engine import FaultsFound, Report, convert
from mmssl.converters.faults import Fault, Unfit

__all__ = ['Converter', 'Fault', 'FaultsFound', 'Item', 'Made', 'Report', 'Unfit', 'convert']
