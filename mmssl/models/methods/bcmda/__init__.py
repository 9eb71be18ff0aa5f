"""BCMDA, its correlation maps and its head."""

from mmssl.models.methods.bcmda.bcmda import BCMDA
from mmssl.models.methods.bcmda.prototype_head import PrototypeHead

__all__ = ['BCMDA', 'PrototypeHead']
