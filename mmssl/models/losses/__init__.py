"""Losses."""

from .cdcr_loss import CDCRLoss, ConsistencyLoss
from .consistency import KLConsistencyLoss, MSEConsistencyLoss
from .dice_ce import DiceBCELoss, DiceCELoss
from .negative_learning import NegativeLearningLoss

__all__ = [
    'CDCRLoss',
    'ConsistencyLoss',
    'DiceBCELoss',
    'DiceCELoss',
    'KLConsistencyLoss',
    'MSEConsistencyLoss',
    'NegativeLearningLoss',
]
