"""Transforms of the pipelines: loading, geometry, intensity, views, packing."""

from .cutout import RandomCutout
from .features import LoadDiffusionFeatures
from .geometry import (
    RandomElastic,
    RandomHorizontalFlip,
    RandomRotate,
    RandomScaleCrop,
    TrackGeometry,
)
from .intensity import ColorJitter, GaussianBlur, RandomBrightness, RandomContrast
from .loading import LoadImage, LoadMask, ResizeMaskTo, ResizeSquare
from .packing import PackSemiInputs, PackTestInputs
from .rot_flip import RandomRotFlipRotate
from .views import RandomApply, RandomPasteBox, StrongView

__all__ = [
    'ColorJitter',
    'GaussianBlur',
    'LoadDiffusionFeatures',
    'LoadImage',
    'LoadMask',
    'PackSemiInputs',
    'PackTestInputs',
    'RandomApply',
    'RandomBrightness',
    'RandomContrast',
    'RandomCutout',
    'RandomElastic',
    'RandomHorizontalFlip',
    'RandomPasteBox',
    'RandomRotFlipRotate',
    'RandomRotate',
    'RandomScaleCrop',
    'ResizeMaskTo',
    'ResizeSquare',
    'StrongView',
    'TrackGeometry',
]
