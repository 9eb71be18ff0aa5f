"""MCSD: diffusion features and two strong views guide a U-Net."""

from mmssl.models.methods.mcsd.distillation import FeatureDistillation
from mmssl.models.methods.mcsd.mcsd import MCSD

__all__ = ['MCSD', 'FeatureDistillation']
