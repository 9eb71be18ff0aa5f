"""Levers that make a training faster or smaller, for every method alike."""

from mmssl.engine.speed.levers import Speed

__all__ = ['Speed']
