"""Former place of `reading.errors`."""

from .reading.errors import DataError

__all__ = ['DataError']
