"""ABD: patches of two views change places."""

from mmssl.models.methods.abd.abd import ABDBCP, ABDCrossTeaching

__all__ = ['ABDBCP', 'ABDCrossTeaching']
