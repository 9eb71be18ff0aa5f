"""Data sets, samplers, transforms and collate functions; importing this registers them."""

from mmssl.datasets import batches, transforms
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.sets import (
    ACDC,
    BUSI,
    MSD,
    BraTS,
    Fundus,
    LeftAtrium,
    MNMs,
    MNMsVolumes,
    Pancreas,
    Prostate,
)

__all__ = [
    'ACDC',
    'BUSI',
    'MSD',
    'BraTS',
    'Fundus',
    'LeftAtrium',
    'MNMs',
    'MNMsVolumes',
    'MixedDomainDataset',
    'Pancreas',
    'Prostate',
    'batches',
    'transforms',
]
