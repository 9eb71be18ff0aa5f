"""Data sets, samplers, transforms and collate functions; importing this registers them."""

from mmssl.datasets import batches, transforms
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.sets import ACDC, BUSI, Fundus, MNMs, MNMsVolumes, Prostate

__all__ = [
    'ACDC',
    'BUSI',
    'Fundus',
    'MNMs',
    'MNMsVolumes',
    'MixedDomainDataset',
    'Prostate',
    'batches',
    'transforms',
]
