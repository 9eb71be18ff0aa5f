"""A look at a data set: what is there, what the domains have in common, and what is wrong."""

from mmssl.inspection.entries import Collected, Entry, Reading, of_config, of_folder
from mmssl.inspection.findings import Findings, find
from mmssl.inspection.measuring import Facts, measure
from mmssl.inspection.page import write_page

__all__ = [
    'Collected',
    'Entry',
    'Facts',
    'Findings',
    'Reading',
    'find',
    'measure',
    'of_config',
    'of_folder',
    'write_page',
]
