"""KnowSAM: two networks, the map fused of them, and a SAM that it prompts."""

from mmssl.models.methods.know_sam.know_sam import KnowSAM

__all__ = ['KnowSAM']
