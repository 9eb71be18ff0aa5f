"""Metrics: overlap and surface distances, and their tables over domains."""

from .surface import binary_metrics, smoothed_dice

__all__ = ['binary_metrics', 'smoothed_dice']
