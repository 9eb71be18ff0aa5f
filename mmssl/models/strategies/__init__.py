"""What methods share: mixing, pseudo-labels, ramps, ensembling rules, uncertainty, contrast."""

from mmssl.models.strategies.ensembles import (
    ConstantRatio,
    CrossTeacher,
    LinearRatio,
    MutualConfidence,
    OwnTeacher,
    SelfConfidence,
    SelfMutualConfidence,
)
from mmssl.models.strategies.mixers import FDA, ClassMix, CowMix, CutMix, FMix
from mmssl.models.strategies.pseudo_label import (
    ClassBalancedThreshold,
    FixedThreshold,
    RisingThreshold,
)
from mmssl.models.strategies.ramps import (
    ConstantRamp,
    ExponentialRamp,
    FallingGaussianRamp,
    GaussianRamp,
)
from mmssl.models.strategies.sample_queue import SampleQueue
from mmssl.models.strategies.styles import UnlabelledStyle
from mmssl.models.strategies.uncertainty import UncertaintyThreshold

__all__ = [
    'FDA',
    'ClassBalancedThreshold',
    'ClassMix',
    'ConstantRamp',
    'ConstantRatio',
    'CowMix',
    'CrossTeacher',
    'CutMix',
    'ExponentialRamp',
    'FMix',
    'FallingGaussianRamp',
    'FixedThreshold',
    'GaussianRamp',
    'LinearRatio',
    'MutualConfidence',
    'OwnTeacher',
    'RisingThreshold',
    'SampleQueue',
    'SelfConfidence',
    'SelfMutualConfidence',
    'UncertaintyThreshold',
    'UnlabelledStyle',
]
