"""The formats of volumes behind one interface, `Stored`: one module a format."""

from mmssl.datasets.reading.formats.known import (
    FORMATS,
    PICTURES,
    VOLUME_SUFFIXES,
    Format,
    changed,
    find_format,
    holds_volumes,
    open_stored,
)
from mmssl.datasets.reading.formats.stored import Choice, Stored

__all__ = [
    'FORMATS',
    'PICTURES',
    'VOLUME_SUFFIXES',
    'Choice',
    'Format',
    'Stored',
    'changed',
    'find_format',
    'holds_volumes',
    'open_stored',
]
