"""Write a network into a file that runs without this package."""

from mmssl.export.deploy import export_model

__all__ = ['export_model']
