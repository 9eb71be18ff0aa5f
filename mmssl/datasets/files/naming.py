"""Names as people write them in configs and lists: numbers, capital letters, accents."""

import re
import unicodedata
from collections.abc import Iterable
from numbers import Integral
from typing import Any


def normal(name: str) -> str:
    """Return a name in the one form in which names are compared.

    An accented letter is one sign in most files and two in those that come from macOS.
    """
    return unicodedata.normalize('NFC', name)


def as_name(value: Any, option: str) -> str:
    """Return a name given as text or as a whole number.

    Raises:
        ValueError: it is something else, such as a truth value that was meant as a word.
    """
    if isinstance(value, str) and value.strip():
        return normal(value.strip())
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f'{option} has {value!r}, which is no name. Write the name in quotes.')


def as_names(values: Any, option: str) -> list[str]:
    """Return one name or several as a list.

    Raises:
        ValueError: a value is no name.
    """
    if isinstance(values, str | bool | int | float) or not isinstance(values, Iterable):
        values = [values]
    return [as_name(value, option) for value in values]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the one known name that differs in capitals or zeros, or nothing.

    Example:
        >>> did_you_mean('7', ['07', '08'])
        ' Did you mean "07"? Numbers with leading zeros need quotes.'
        >>> did_you_mean('SiteA', ['siteA', 'siteB'])
        ' Did you mean "siteA"?'
        >>> did_you_mean('7', ['7a', '007', '07'])
        ''
    """
    near = [one for one in dict.fromkeys(known) if _loose(one) == _loose(name)]
    if len(near) != 1:
        return ''
    zeros = ' Numbers with leading zeros need quotes.' * name.isdigit()
    return f' Did you mean "{near[0]}"?{zeros}'


def _loose(name: str) -> str:
    return re.sub(r'(?<!\d)0+(?=\d)', '', normal(name).casefold())
