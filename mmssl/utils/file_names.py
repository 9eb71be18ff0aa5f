"""Names of files for things that are called as their users like."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from urllib.parse import quote

LONGEST = 120  # characters; a prefix and a suffix still fit into the name of a file


def escaped(text: str) -> str:
    """Return a text as part of a file name, signs other than letters, digits, `.`, `_`, `-` as %XX.

    Example:
        >>> escaped('scan 1/2'), escaped('Größe_1.0')
        ('scan%201%2F2', 'Größe_1.0')
    """
    return re.sub(r'[^\w.-]', lambda sign: quote(sign.group(), safe=''), text)


def file_names(things: Iterable[Sequence[object]]) -> dict[tuple[str, ...], str]:
    """Return a file name without suffix for each thing, no two the same on any file system.

    A name is made of the parts of what a thing is called, such as domain and image. Where two names
    are the same, or differ in upper and lower case alone, and where one is too long, a code of
    all parts follows; so a name does not depend on the order of the things.

    Args:
        things: the parts of what each is called.

    Example:
        >>> list(file_names([('A', 'scan 1'), ('A', 'scan_1')]).values())
        ['A_scan%201', 'A_scan_1']
        >>> names = file_names([('a', 'b_c'), ('a_b', 'c')]).values()
        >>> len(set(names)), all(name.startswith('a_b_c-') for name in names)
        (2, True)
    """
    names = {}
    for thing in things:
        parts = tuple(str(part) for part in thing)
        names[parts] = '_'.join(escaped(part) for part in parts)
    met = Counter(name.casefold() for name in names.values())
    for parts, name in names.items():
        if met[name.casefold()] > 1 or len(name.encode()) > LONGEST:
            code = hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:8]
            kept = name.encode()[: LONGEST - len(code)].decode(errors='ignore')
            names[parts] = f'{kept}-{code}'
    return names
