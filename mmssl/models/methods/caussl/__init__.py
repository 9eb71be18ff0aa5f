"""CauSSL: networks kept independent of each other."""

from mmssl.models.methods.caussl.caussl import CPSCauSSL, MCCauSSL

__all__ = ['CPSCauSSL', 'MCCauSSL']
