"""BCP: bidirectional copy-paste."""

from mmssl.models.methods.bcp.bcp import BCP

__all__ = ['BCP']
