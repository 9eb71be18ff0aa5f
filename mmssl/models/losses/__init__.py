"""Losses."""

from mmssl.models.losses.cdcr_loss import CDCRLoss, ConsistencyLoss
from mmssl.models.losses.consistency import KLConsistencyLoss, MSEConsistencyLoss
from mmssl.models.losses.deep_supervision import DeepSupervisionLoss
from mmssl.models.losses.dice_ce import DiceBCELoss, DiceCELoss
from mmssl.models.losses.negative_learning import NegativeLearningLoss

__all__ = [
    'CDCRLoss',
    'ConsistencyLoss',
    'DeepSupervisionLoss',
    'DiceBCELoss',
    'DiceCELoss',
    'KLConsistencyLoss',
    'MSEConsistencyLoss',
    'NegativeLearningLoss',
]
