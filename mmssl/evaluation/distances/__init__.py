"""Exact distances between the surfaces of two masks."""

from mmssl.evaluation.distances.bits import PackedMasks
from mmssl.evaluation.distances.nearest import Distances, distances_both_ways

__all__ = ['Distances', 'PackedMasks', 'distances_both_ways']
