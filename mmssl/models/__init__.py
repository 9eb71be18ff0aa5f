"""Models: segmentors of the methods, networks, losses and the strategies they are made of."""

from mmssl.compat import import_mmseg

import_mmseg()

from mmssl.models import (  # noqa: E402
    base,
    diffusion,
    dinov2,
    losses,
    methods,
    sam,
    strategies,
    unet,
    volumetric,
)
from mmssl.models.base import SemiSegmentor  # noqa: E402

__all__ = [
    'SemiSegmentor',
    'base',
    'diffusion',
    'dinov2',
    'losses',
    'methods',
    'sam',
    'strategies',
    'unet',
    'volumetric',
]
