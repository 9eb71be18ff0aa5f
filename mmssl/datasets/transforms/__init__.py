"""Transforms of the pipelines: loading, geometry, intensity, views, packing."""

from mmssl.datasets.transforms.crop import RandomCrop
from mmssl.datasets.transforms.cutout import RandomCutout
from mmssl.datasets.transforms.distance import SignedDistance
from mmssl.datasets.transforms.geometry import (
    RandomElastic,
    RandomRotate,
    RandomScaleCrop,
    TrackGeometry,
)
from mmssl.datasets.transforms.intensity import (
    ColorJitter,
    GaussianBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomNoise,
)
from mmssl.datasets.transforms.loading import LoadImage, LoadMask, ResizeMaskTo, ResizeSquare
from mmssl.datasets.transforms.monai import Monai
from mmssl.datasets.transforms.packing import PackSemiInputs, PackTestInputs
from mmssl.datasets.transforms.rot_flip import (
    RandomFlip,
    RandomHorizontalFlip,
    RandomQuarterTurn,
    RandomRotFlipRotate,
)
from mmssl.datasets.transforms.views import (
    RandomApply,
    RandomPasteBox,
    RandomPasteCuboid,
    StrongView,
)
from mmssl.datasets.transforms.whole import LoadVolume, NormaliseIntensity, Resample

__all__ = [
    'ColorJitter',
    'GaussianBlur',
    'LoadImage',
    'LoadMask',
    'Monai',
    'LoadVolume',
    'NormaliseIntensity',
    'PackSemiInputs',
    'PackTestInputs',
    'RandomApply',
    'RandomBrightness',
    'RandomContrast',
    'RandomCrop',
    'RandomCutout',
    'RandomElastic',
    'RandomFlip',
    'RandomGamma',
    'RandomHorizontalFlip',
    'RandomNoise',
    'RandomPasteBox',
    'RandomPasteCuboid',
    'RandomQuarterTurn',
    'RandomRotFlipRotate',
    'RandomRotate',
    'RandomScaleCrop',
    'Resample',
    'ResizeMaskTo',
    'ResizeSquare',
    'SignedDistance',
    'StrongView',
    'TrackGeometry',
]
