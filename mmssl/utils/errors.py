"""The errors of what a user gives: a setting, a name, an option."""

import difflib
import reprlib
from collections.abc import Iterable

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2


class SettingError(ValueError):
    """A value from outside does not fit; the message names it and the way out."""


class TypoError(Exception):
    """A name in a config does not exist; the message names the nearest that does."""


class UnknownComponent(TypoError, KeyError):
    """A component is not in its registry."""


class UnknownOption(TypoError, TypeError):
    """A component does not have an option."""


def shown(value: object) -> str:
    """Return a value's representation, shortened, on one line."""
    try:
        return ' '.join(_SHORT.repr(value).split())
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return f'a value of {type(value).__name__} that is too long to be written'


def did_you_mean(name: str, known: Iterable[str], otherwise: str = 'it has') -> str:
    """Return the nearest known name as a question, or all of them."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f'{otherwise} {", ".join(known)}' if known else f'{otherwise} none'
