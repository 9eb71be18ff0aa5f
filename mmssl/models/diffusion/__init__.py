"""Diffusion models: their U-Net, and its features as a second view of an image."""

from mmssl.models.diffusion.diffusion_feature_neck import DiffusionFeatureNeck
from mmssl.models.diffusion.guided_diffusion import guided_diffusion_unet
from mmssl.models.diffusion.load_features import LoadDiffusionFeatures

__all__ = [
    'DiffusionFeatureNeck',
    'LoadDiffusionFeatures',
    'guided_diffusion_unet',
]
