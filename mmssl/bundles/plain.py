"""Configs as plain values, which JSON can hold."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from mmssl.bundles.check import PARTS, find
from mmssl.registry import DATASETS, TRANSFORMS
from mmssl.utils.errors import SettingError, shown

OWN = ('mmssl', 'mmseg', 'mmengine', 'mmcv', 'torch')
ALL = (*PARTS, TRANSFORMS, DATASETS)


def plain(value: Any) -> Any:
    """Return a part of a config as dicts, lists, texts and numbers.

    Raises:
        SettingError: it holds something else, such as a function.

    Example:
        >>> plain({0: (1, 2.5), 'a': None})
        {'0': [1, 2.5], 'a': None}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, type) and any(find(one, value.__name__) is value for one in ALL):
        return value.__name__
    raise SettingError(
        f'The config holds {shown(value)}, which a bundle cannot: write it as text or numbers'
    )


def modules_from_outside(node: Any) -> dict[str, str]:
    """Return of every component of a config that no package of OpenMMLab brings: its module."""
    found: dict[str, str] = {}
    if isinstance(node, Mapping):
        kind = node.get('type')
        if isinstance(kind, str):
            component = next((c for one in ALL if (c := find(one, kind))), None)
            module = getattr(component, '__module__', OWN[0])
            if module.partition('.')[0] not in OWN:
                found[kind] = module
    children = node.values() if isinstance(node, Mapping) else node
    for child in children if isinstance(node, Mapping | list | tuple) else ():
        found.update(modules_from_outside(child))
    return found
