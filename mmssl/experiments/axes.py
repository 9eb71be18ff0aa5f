"""The grid of a sweep: values to try, read from the command line."""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmssl.utils.config.options import parse_value, split_option


class Axis(NamedTuple):
    """One varied setting: its name, and options (key to text) by the label of each value."""

    name: str
    values: dict[str, dict[str, str]]


def split(text: str, at: str) -> list[str]:
    """Split at a character, but not inside brackets.

    Raises:
        ValueError: the brackets do not match.

    Example:
        >>> split('[2,4],[5,6]', ',')
        ['[2,4]', '[5,6]']
    """
    parts, depth = [''], 0
    for char in text:
        depth += (char in '([') - (char in ')]')
        if depth < 0:
            break
        if char == at and not depth:
            parts.append('')
        else:
            parts[-1] += char
    if depth:
        raise ValueError(f'the brackets of "{text}" do not match')
    return [part.strip() for part in parts]


def parse_axis(text: str, option: str = '--vary') -> tuple[list[str], dict[str, dict[str, str]]]:
    """Read `KEY=V1,V2`, `KEY&KEY=V1,V&V` or `KEY=NAME:V1,NAME:V2`.

    Returns:
        The keys, and for the label of each value the options it sets.

    Raises:
        ValueError: the text says something else.

    Example:
        >>> parse_axis('a.b&c.d=10,some:20&30')[1]
        {'10': {'a.b': '10', 'c.d': '10'}, 'some': {'a.b': '20', 'c.d': '30'}}
    """
    left, sign, right = text.partition('=')
    keys = [key.strip() for key in left.split('&')]
    if not sign or not all(keys):
        raise ValueError(f'{option} "{text}" is not KEY=VALUE,VALUE')
    if 'randomness.seed' in keys:
        raise ValueError(f'{option} randomness.seed: use --seeds 0,1,2')
    values: dict[str, dict[str, str]] = {}
    for item in split(right, ','):
        name, *rest = split(item, ':')
        value = ':'.join(rest) if rest else item
        each = split(value, '&') if len(keys) > 1 else [value]
        if not all(each) or len(each) not in (1, len(keys)):
            raise ValueError(
                f'{option} "{text}": "{item}" gives {len([e for e in each if e])} '
                f'values for {len(keys)} keys; give one for all, or V&V'
            )
        label = name if rest else value
        if not label or label in values:
            raise ValueError(f'{option} "{text}": value "{label}" is there twice or has no name')
        values[label] = dict(zip(keys, each * len(keys) if len(each) == 1 else each, strict=True))
    return keys, values


def parse_axes(texts: Sequence[str], option: str = '--vary') -> list[Axis]:
    """Read all `--vary`; an axis is named by the last words of its first key, two or more.

    Raises:
        ValueError: a text cannot be read, or a key is varied twice.

    Example:
        >>> parse_axes(['model.neck.blocks=[2,4],[5]'])[0].name
        'neck.blocks'
    """
    found = [parse_axis(text, option) for text in texts]
    keys = [key for group, _ in found for key in group]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f'{option} has {", ".join(twice)} twice')
    firsts = [group[0].split('.') for group, _ in found]
    length = 2
    while len({tuple(words[-length:]) for words in firsts}) < len(firsts):
        length += 1
    return [
        Axis('.'.join(words[-length:]), values)
        for words, (_, values) in zip(firsts, found, strict=True)
    ]


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """Return a name for the folder of each label, no two the same.

    Example:
        >>> folder_names(['[2, 4, 6]', 'weights/a.pth', '-0.5'])
        {'[2, 4, 6]': '2-4-6', 'weights/a.pth': 'weights-a.pth', '-0.5': '-0.5'}
    """
    names = {}
    for label in labels:
        kept = ''.join(c for c in label if c not in '[]()\'" ')
        names[label] = ''.join(c if c.isalnum() or c in '.+-_' else '-' for c in kept)
    for label, name in names.items():
        # some file systems do not tell upper from lower case
        if len(name) > 60 or [n.casefold() for n in names.values()].count(name.casefold()) > 1:
            code = hashlib.sha256(label.encode()).hexdigest()[:6]
            names[label] = f'{name[:50]}-{code}'
    return names


def parse_options(words: Sequence[str]) -> dict[str, str]:
    """Read KEY=VALUE words.

    Raises:
        ValueError: a word has no equals sign.
    """
    return dict(map(split_option, words))


def parse_seeds(text: str) -> list[int]:
    """Read the seeds.

    Raises:
        ValueError: one is no whole number, or is there twice.
    """
    try:
        seeds = [int(word) for word in text.split(',')]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f'--seeds "{text}" must be different whole numbers, as in 0,1,2')
    return seeds


def check_keys(
    config: str, options: Mapping[str, str], keys: Sequence[str], option: str = '--vary'
):
    """Return a config, after making sure that it has the place of every varied key.

    Raises:
        ValueError: it has not; the nearest name is given.
    """
    from mmssl.utils.config.variables import sources_of, variables
    from mmssl.utils.packaged import find_config_file
    from mmssl.utils.setup import load_config

    cfg = load_config(config, {k: parse_value(v) for k, v in options.items()})
    at_the_top = variables(list(sources_of(find_config_file(config))))
    for key in keys:
        node, words = cfg.to_dict(), key.split('.')
        if words[0] in at_the_top:
            continue
        for depth, word in enumerate(words):
            if isinstance(node, (list, tuple)) and word.isdigit() and int(word) < len(node):
                node = node[int(word)]
            elif isinstance(node, Mapping) and word in node:
                node = node[word]
            elif isinstance(node, Mapping) and 'type' in node and depth == len(words) - 1:
                break  # a default of a component; the training knows its options
            else:
                near = (
                    difflib.get_close_matches(word, list(node), n=1)
                    if isinstance(node, Mapping)
                    else []
                )
                hint = f'; did you mean "{near[0]}"?' if near else ''
                raise ValueError(f'{option} {key}: {config} has no "{word}" there{hint}')
    return cfg
