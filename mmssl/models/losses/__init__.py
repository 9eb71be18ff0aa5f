"""Losses."""

from .cdcr_loss import CDCRLoss, ConsistencyLoss
from .dice_ce import DiceBCELoss, DiceCELoss

__all__ = ['CDCRLoss', 'ConsistencyLoss', 'DiceBCELoss', 'DiceCELoss']
