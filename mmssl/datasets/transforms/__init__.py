"""Transforms of the pipelines: loading, geometry, intensity, views, packing."""

from .geometry import RandomElastic, RandomHorizontalFlip, RandomRotate, RandomScaleCrop
from .intensity import GaussianBlur, RandomBrightness, RandomContrast
from .loading import LoadImage, LoadMask, ResizeMaskTo, ResizeSquare
from .packing import PackSemiInputs, PackTestInputs
from .views import RandomPasteBox, StrongView

__all__ = [
    'GaussianBlur',
    'LoadImage',
    'LoadMask',
    'PackSemiInputs',
    'PackTestInputs',
    'RandomBrightness',
    'RandomContrast',
    'RandomElastic',
    'RandomHorizontalFlip',
    'RandomPasteBox',
    'RandomRotate',
    'RandomScaleCrop',
    'ResizeMaskTo',
    'ResizeSquare',
    'StrongView',
]
