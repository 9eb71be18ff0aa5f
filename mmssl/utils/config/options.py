"""Settings from a command line: `--cfg-options KEY=VALUE ...`."""

import argparse
import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmssl.utils.config.merge import WHOLE
from mmssl.utils.errors import SettingError, shown

PAIRS = {'[': ']', '(': ')', '{': '}'}


class OptionsAction(argparse.Action):
    """Collect KEY=VALUE words in a dict, by dotted name; see `parse_value`."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Read the words; one that cannot be read ends the program as argparse does."""
        options = dict(getattr(namespace, self.dest, None) or {})
        try:
            for word in values:
                key, value = split_option(word)
                options[key] = parse_value(value)
        except SettingError as error:
            parser.error(f'argument {option_string}: {error}')
        setattr(namespace, self.dest, options)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options` to a command line."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override values of the config, for example train_cfg.max_iters=1000',
    )


def add_launcher(parser: argparse.ArgumentParser, how: str) -> None:
    """Add `--launcher` to a command line, and what older launchers of PyTorch add by themselves.

    Args:
        parser: of the tool.
        how: its help.
    """
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm'), default='none', help=how
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def at_least(low: float, kind: type = int) -> Callable[[str], float]:
    """Return the `type` of a command line's number that must not be smaller."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value < float('inf'):
            raise argparse.ArgumentTypeError(f'{text} must be at least {low}')
        return value

    number.__name__ = 'whole number' if kind is int else 'number'  # named in argparse's messages
    return number


def seeds(text: str) -> list[int]:
    """Read seeds separated by commas, as the `type` of a command line's option."""
    words = text.split(',')
    if not all(word.strip().isdecimal() and int(word) < 2**32 for word in words):
        raise argparse.ArgumentTypeError(f'"{text}" must be whole numbers from 0, as in 0,1,2')
    return [int(word) for word in words]


def split_option(word: str) -> tuple[str, str]:
    """Return the name and the text of KEY=VALUE.

    Raises:
        SettingError: there is no "=", or no name before it.
    """
    key, equals, value = word.partition('=')
    if not equals:
        raise SettingError(f'"{word}" has no "=": write KEY=VALUE, without spaces around the "="')
    if not key.strip() or not all(part.strip() for part in key.split('.')):
        raise SettingError(
            f'"{word}" names no entry before the "=": write KEY=VALUE, for example '
            'train_cfg.max_iters=1000'
        )
    return key.strip(), value


def parse_value(text: str) -> Any:
    """Return the value of an option: numbers, True, False, None, lists, dicts, else text.

    Lists are written `a,b` or `[a,b]`, tuples `(a,b)`, dicts as in Python. Text in quotes stays
    as it is, commas included; spaces within a value belong to it.

    Raises:
        SettingError: brackets do not match, or a dict is none of Python's.

    >>> parse_value('1,2.5,[x, true]'), parse_value('my dir'), parse_value('"a,b"')
    ([1, 2.5, ['x', True]], 'my dir', 'a,b')
    """
    text = text.strip()
    if len(text) > 1 and text[0] in '\'"' and text.find(text[0], 1) == len(text) - 1:
        return text[1:-1]
    items = list(_split(text))
    if len(items) > 1:
        return [parse_value(item) for item in items]
    if text.startswith('{'):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise SettingError(f'{text} is no dict of Python; quote its texts') from None
    if text[:1] in ('[', '('):
        items = [parse_value(item) for item in _split(text[1:-1].rstrip(','))]
        items = items if text[1:-1].strip() else []
        return items if text[0] == '[' else tuple(items)
    return _scalar(text)


def _split(text: str) -> Iterator[str]:
    """Give what stands between the commas outside of brackets and quotes."""
    start, expected, quote = 0, [], ''
    for place, letter in enumerate(text):
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '\'"' and not text[start:place].strip():
            quote = letter
        elif letter in PAIRS:
            expected.append(PAIRS[letter])
        elif letter in PAIRS.values():
            if not expected or expected.pop() != letter:
                raise SettingError(f'the brackets of {text} do not match')
        elif letter == ',' and not expected:
            yield text[start:place]
            start = place + 1
    if expected:
        raise SettingError(f'the brackets of {text} do not match')
    yield text[start:]


def _scalar(text: str) -> Any:
    known = {'true': True, 'false': False}
    if text.lower() in known or text == 'None':
        return known.get(text.lower())
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def merge_options(cfg: Any, options: Mapping[str, Any]) -> None:
    """Override a config's values by dotted name.

    Raises:
        SettingError: a name leads into a value that has no entries, or beyond a list's end.
    """
    for key in options:
        _check_path(cfg, key)
    whole = dict(pair for key, value in options.items() for pair in _by_number(key, value))
    whole |= {key: value for key, value in options.items() if _replaces_entry(cfg, key, value)}
    cfg.merge_from_dict({key: value for key, value in options.items() if key not in whole})
    for key, value in whole.items():
        *way, last = key.split('.')
        node = cfg
        for part in way:
            if part not in node and not isinstance(node, list):
                node[part] = {}
            node = node[int(part) if isinstance(node, list) else part]
        node[int(last) if isinstance(node, list) else last] = value


def _by_number(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give an option if it holds a label map, or another dict by number: it is never merged."""
    if isinstance(value, Mapping) and (
        key.rpartition('.')[2] in WHOLE or not all(isinstance(name, str) for name in value)
    ):
        yield key, value
    elif isinstance(value, Mapping):
        if any(True for name, item in value.items() for _ in _by_number(name, item)):
            yield key, value


def _replaces_entry(node: Any, key: str, value: Any) -> bool:
    """Return whether an option takes the place of a list's entry; mmengine merges dicts alone."""
    for part in key.split('.')[:-1]:
        node = node[int(part)] if isinstance(node, list) else node.get(part, {})
    last = key.rpartition('.')[2]
    return isinstance(node, list) and not (
        isinstance(value, Mapping) and isinstance(node[int(last)], Mapping)
    )


def _check_path(node: Any, key: str) -> None:
    parts = key.split('.')
    for depth, part in enumerate(parts):
        above = '.'.join(parts[:depth])
        if isinstance(node, Sequence) and not isinstance(node, str):
            if not part.isdecimal() or int(part) >= len(node):
                last = f'0 to {len(node) - 1}' if node else 'none'
                raise SettingError(
                    f'--cfg-options {key}: "{above}" is a list, whose entries are '
                    f'{last}, not "{part}"; or set the whole, {above}=[...]'
                )
            node = node[int(part)]
        elif isinstance(node, Mapping) or depth == 0:
            if part not in node:
                return
            node = node[part]
        else:
            raise SettingError(
                f'--cfg-options {key}: "{above}" is {shown(node)}, which has no '
                f'entry "{part}"; set {above}=... itself'
            )
