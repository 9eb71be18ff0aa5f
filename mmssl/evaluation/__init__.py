"""Metrics: overlap and surface distances, and their tables over domains."""

from .domain_metric import DomainMetric
from .published import load_published, published_dsc
from .surface import binary_metrics, smoothed_dice

__all__ = [
    'DomainMetric',
    'binary_metrics',
    'load_published',
    'published_dsc',
    'smoothed_dice',
]
