"""The data sets of the papers in their usual layouts, of slices and of whole volumes.

Nothing but names, layouts and counts: `MixedDomainDataset` does the same with these options in a
config. `SEED = None` is the published rule: the first or last of the sorted names or cases.
"""

from mmssl.datasets.sets.msd import MSD
from mmssl.datasets.sets.slices import ACDC, BUSI, Fundus, MNMs, MNMsVolumes, Prostate
from mmssl.datasets.sets.volumes import BraTS, LeftAtrium, Pancreas

__all__ = [
    'ACDC',
    'BUSI',
    'MSD',
    'BraTS',
    'Fundus',
    'LeftAtrium',
    'MNMs',
    'MNMsVolumes',
    'Pancreas',
    'Prostate',
]
