"""Transforms of the pipelines: loading, geometry, intensity, views, packing."""

from mmssl.datasets.transforms.cutout import RandomCutout
from mmssl.datasets.transforms.geometry import (
    RandomElastic,
    RandomHorizontalFlip,
    RandomRotate,
    RandomScaleCrop,
    TrackGeometry,
)
from mmssl.datasets.transforms.intensity import (
    ColorJitter,
    GaussianBlur,
    RandomBrightness,
    RandomContrast,
)
from mmssl.datasets.transforms.loading import LoadImage, LoadMask, ResizeMaskTo, ResizeSquare
from mmssl.datasets.transforms.packing import PackSemiInputs, PackTestInputs
from mmssl.datasets.transforms.rot_flip import RandomRotFlipRotate
from mmssl.datasets.transforms.views import RandomApply, RandomPasteBox, StrongView

__all__ = [
    'ColorJitter',
    'GaussianBlur',
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
