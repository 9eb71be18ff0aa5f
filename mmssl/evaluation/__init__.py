"""Metrics: overlap and surface distances, and their tables over domains."""

from mmssl.evaluation.domain_metric import DomainMetric
from mmssl.evaluation.published import load_published, published_dsc
from mmssl.evaluation.surface import binary_metrics, smoothed_dice

__all__ = [
    'DomainMetric',
    'binary_metrics',
    'load_published',
    'published_dsc',
    'smoothed_dice',
]
