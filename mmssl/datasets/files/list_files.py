"""The entries of a list of images, from a text file or the config."""

import codecs
import csv
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmssl.datasets.files.naming import as_names

# The mark of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: 'utf-8-sig',
    codecs.BOM_UTF32_LE: 'utf-32',
    codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16',
    codecs.BOM_UTF16_BE: 'utf-16',
}
QUOTES = '"\'`'


class Entry(NamedTuple):
    """One line of a list.

    Attributes:
        text: the line without the white space around it.
        where: where it stands, for messages.
        shared: whether the list may name images of other domains, too.
    """

    text: str
    where: str
    shared: bool


def read_entries(source: str | Sequence, data_root: str, domain: str) -> list[Entry]:
    """Return the lines of a list that are not empty.

    Args:
        source: a text file below the data root (`{domain}` is filled in), or the names themselves.
        data_root: folder that holds the domains.
        domain: name of the domain.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no text, or a name in the config is none.
    """
    if not isinstance(source, str):
        return [Entry(t, 'the list in the config', True) for t in as_names(source, 'The list')]
    path = os.path.join(data_root, source.replace('{domain}', domain))
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Domain "{domain}": there is no list file {path}.')
    lines = re.split(r'\r\n|\r|\n', _read_text(path))
    shared = '{domain}' not in source
    found = [
        Entry(line.strip('\ufeff \t\xa0'), f'line {number} of {path}', shared)
        for number, line in enumerate(lines, 1)
    ]
    return [entry for entry in found if entry.text]


def _read_text(path: str) -> str:
    with open(path, 'rb') as file:
        data = file.read()
    mark = next((mark for mark in MARKS if data.startswith(mark)), b'')
    try:
        text = data.decode(MARKS.get(mark, 'utf-8'))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        raise ValueError(
            f'Line {line} of the list {path} is no UTF-8 text (byte 0x{data[error.start]:02x}). '
            'Save the list as UTF-8.'
        ) from None
    if '\0' in text:
        raise ValueError(
            f'The list {path} has bytes of zero: it is no text, or UTF-16 without its mark. Save '
            'the list as UTF-8.'
        )
    return text


def is_comment(text: str) -> bool:
    """Return whether a line that names no image is a comment."""
    return text.startswith('#')


def readings(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield how a line can be read, the simplest first: what is listed, and further columns.

    A whole line goes before its columns, because names may hold spaces and commas.

    Example:
        >>> list(readings('"01.png"  # blurred'))[1]
        ('01.png', [])
        >>> list(readings('a/01.png,b/01.png'))[-1]
        ('a/01.png', ['b/01.png'])
    """
    yield text, []
    text = re.split(r'\s+#', text)[0]
    yield _unquoted(text), []
    for delimiter in '\t;, ':
        cells = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
        cells = [_unquoted(cell.strip()) for cell in cells]
        if len(cells) > 1:
            yield cells[0], [cell for cell in cells[1:] if cell]


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if text[:1] in QUOTES and text[:1] == text[-1:] != '' else text
