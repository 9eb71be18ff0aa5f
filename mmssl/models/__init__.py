"""Models: segmentors of the methods, networks, losses and the strategies they are made of."""

from mmssl.compat import import_mmseg

import_mmseg()

from . import backbones, heads, losses, methods, necks  # noqa: E402
from .data_preprocessor import SemiDataPreprocessor  # noqa: E402
from .ensembles import (  # noqa: E402
    ConstantRatio,
    CrossTeacher,
    LinearRatio,
    MutualConfidence,
    OwnTeacher,
    SelfConfidence,
    SelfMutualConfidence,
)
from .label_space import ExclusiveClasses, OverlappingParts  # noqa: E402
from .mixers import FDA, ClassMix, CowMix, CutMix, FMix  # noqa: E402
from .prompted_sam import PromptedSAM  # noqa: E402
from .pseudo_label import FixedThreshold  # noqa: E402
from .ramps import (  # noqa: E402
    ConstantRamp,
    ExponentialRamp,
    FallingGaussianRamp,
    GaussianRamp,
)
from .semi_segmentor import SemiSegmentor  # noqa: E402
from .uncertainty import UncertaintyThreshold  # noqa: E402

__all__ = [
    'FDA',
    'ClassMix',
    'ConstantRamp',
    'ConstantRatio',
    'CowMix',
    'CrossTeacher',
    'CutMix',
    'ExclusiveClasses',
    'ExponentialRamp',
    'FMix',
    'FallingGaussianRamp',
    'FixedThreshold',
    'GaussianRamp',
    'LinearRatio',
    'MutualConfidence',
    'OverlappingParts',
    'OwnTeacher',
    'PromptedSAM',
    'SelfConfidence',
    'SelfMutualConfidence',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'UncertaintyThreshold',
    'backbones',
    'heads',
    'losses',
    'methods',
    'necks',
]
