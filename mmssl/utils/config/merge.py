"""What of a base config goes, because the config built on it says something else in its place.

mmengine merges dictionaries key by key, unless the new one says `_delete_=True`. Of some options of
a data set the halves make no sense together: the label map of a new data set and that of the old
one, `num` and `cases`, a list of files that the new split does not know.
"""

from typing import Any

DELETE = '_delete_'
WHOLE = ('label_map', 'parts')
"""Dictionaries that are stated whole; on the command line an item of them can be named."""
ONE_OF = {'labelled': ('num', 'ratio', 'cases'), 'holdout': ('fraction', 'cases')}
"""Keys of which a dictionary has one."""


def drop_contradicted(base: dict, new: dict, by_parts: bool = False) -> dict:
    """Return a dictionary without what one that is merged into it makes meaningless.

    * `label_map` and `parts`: replaced as a whole;
    * `metainfo`: if the new one names classes; `split`: if it names a type;
    * `num`, `ratio` and `cases`, or `fraction` and `cases`: if the new one gives another of them,
      or states a `list` and none of them;
    * `labelled.list`: if the new split does not name that list, or the data set has another type;
    * `labelled.domain` and `overrides`: of domains that are not in the new `domains`.

    Args:
        base: the dictionary, as it stands at any level of a config.
        new: what is merged into it.
        by_parts: the new one may hold single items of a whole, as on the command line.

    Example:
        >>> base = dict(labelled=dict(cases=7, list='train.list'), label_map={0: 0, 255: 1})
        >>> drop_contradicted(base, dict(labelled=dict(num=5), label_map={0: 0, 1: 1}))
        {'labelled': {'list': 'train.list'}, 'label_map': {}}
        >>> drop_contradicted(base, dict(split=dict(type='case', test=0.2)))['labelled']
        {'cases': 7}
    """
    kept = dict(base)
    for key, value in new.items():
        old = kept.get(key)
        if isinstance(value, dict) and key in kept and old is None:
            del kept[key]  # there is nothing to merge it with
        if not isinstance(value, dict) or not isinstance(old, dict) or value.get(DELETE):
            continue
        if _replaces(key, value, by_parts):
            kept[key] = type(old)()
        elif key in ONE_OF and _chooses(key, value, by_parts):
            kept[key] = _without(old, [one for one in ONE_OF[key] if one not in value])
    _drop_strange_list(kept, new)
    _drop_strange_domains(kept, new)
    return type(base)(kept)


def without_idle_delete(new: dict, base: dict) -> dict:
    """Return a copy of what is merged into a base, with `_delete_` only where it does something.

    mmengine leaves it in a dictionary that has nothing to replace, and takes it out of the
    first of several that are the same object.

    Example:
        >>> without_idle_delete(dict(split=dict(_delete_=True, type='case')), {})
        {'split': {'type': 'case'}}
    """
    copied = {}
    for key, value in new.items():
        if isinstance(value, dict):
            merged = key in base and not value.get(DELETE)
            value = type(value)(value) if merged else _stripped(value)
            if key in base and not merged:
                value[DELETE] = True
        copied[key] = value
    return type(new)(copied)


def _stripped(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return type(value)({key: _stripped(one) for key, one in value.items() if key != DELETE})


def _replaces(key: str, value: dict, by_parts: bool) -> bool:
    if key in WHOLE:
        return not by_parts
    return (key == 'metainfo' and 'classes' in value) or (key == 'split' and 'type' in value)


def _chooses(key: str, value: dict, by_parts: bool) -> bool:
    given = any(value.get(one) is not None for one in ONE_OF[key])
    return given or (not by_parts and value.get('list') is not None)


def _drop_strange_list(kept: dict, new: dict) -> None:
    """Drop the list of labelled images of another split or of another data set."""
    labelled = kept.get('labelled')
    if not isinstance(labelled, dict) or not isinstance(labelled.get('list'), str):
        return
    split = new.get('split')
    other_split = (
        isinstance(split, dict) and 'type' in split and (labelled['list'] not in split.values())
    )
    other_type = 'type' in new and new['type'] != kept.get('type')
    if other_split or other_type:
        kept['labelled'] = _without(labelled, ['list'])


def _drop_strange_domains(kept: dict, new: dict) -> None:
    """Drop what is said of domains that the data set no longer has."""
    domains = new.get('domains')
    if not isinstance(domains, list | tuple):
        return
    labelled, overrides = kept.get('labelled'), kept.get('overrides')
    if isinstance(labelled, dict) and labelled.get('domain') not in (*domains, 'all', None):
        kept['labelled'] = _without(labelled, ['domain'])
    if isinstance(overrides, dict):
        kept['overrides'] = _without(overrides, [name for name in overrides if name not in domains])


def _without(old: dict, names: list) -> Any:
    return type(old)({key: value for key, value in old.items() if key not in names})
