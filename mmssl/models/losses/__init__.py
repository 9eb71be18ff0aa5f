"""Losses."""

from .cdcr_loss import CDCRLoss, ConsistencyLoss
from .dice_ce import DiceCELoss

__all__ = ['CDCRLoss', 'ConsistencyLoss', 'DiceCELoss']
