"""What every method stands on: the template, its label spaces and its preprocessor."""

from mmssl.models.base.data_preprocessor import SemiDataPreprocessor
from mmssl.models.base.label_space import ExclusiveClasses, OverlappingParts
from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.base.several_heads import SeveralHeads
from mmssl.models.base.sliding_window import SlidingWindow

__all__ = [
    'ExclusiveClasses',
    'OverlappingParts',
    'SemiDataPreprocessor',
    'SemiSegmentor',
    'SeveralHeads',
    'SlidingWindow',
]
