"""SemiSAM: a mean teacher assisted by a frozen SAM."""

from mmssl.models.methods.semi_sam.semi_sam import SemiSAM

__all__ = ['SemiSAM']
