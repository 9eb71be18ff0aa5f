"""From samples to a training batch: which are drawn, and how they are stacked."""

from mmssl.datasets.batches.collate import semi_collate
from mmssl.datasets.batches.semi_sampler import SemiSampler

__all__ = ['SemiSampler', 'semi_collate']
