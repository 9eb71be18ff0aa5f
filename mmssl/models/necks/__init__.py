"""Parts between a batch and the networks' inputs."""

from .diffusion_feature_neck import DiffusionFeatureNeck

__all__ = ['DiffusionFeatureNeck']
