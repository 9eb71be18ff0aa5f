"""mmssl: semi-supervised medical image segmentation on OpenMMLab."""

__version__ = '0.1.0'

__all__ = ['__version__']
