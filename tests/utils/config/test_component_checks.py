"""What registries check where they build: names, options, and the types of options."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

import mmssl.registry
from mmssl.utils.config.components import check_types, fits, said
from mmssl.utils.errors import SettingError
from mmssl.utils.setup import register_all_modules

CONFIGS = sorted((Path(__file__).parents[3] / 'configs').glob('*/*.py'))


def components(node):
    """Give every dict of a config that names its type."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node
        node = list(node.values())
    for item in node if isinstance(node, list | tuple) else ():
        yield from components(item)


def merged(node):
    """Return a config without the marks `_delete_`, which a variable in it still has."""
    if isinstance(node, dict):
        return {key: merged(value) for key, value in node.items() if key != '_delete_'}
    if isinstance(node, list | tuple):
        return type(node)(merged(value) for value in node)
    return node


@pytest.mark.slow
def test_no_option_of_the_configs_is_refused():
    register_all_modules()
    registries = [
        r for r in vars(mmssl.registry).values() if isinstance(r, Registry) and r.scope == 'mmssl'
    ]
    seen = set()
    for path in CONFIGS:
        for node in components(merged(Config.fromfile(str(path))._cfg_dict.to_dict())):
            options = {k: 9 if v == 'max_iters' else v for k, v in node.items()}  # as the runner
            if repr(options) in seen:
                continue
            seen.add(repr(options))
            for registry in registries:
                try:
                    component = registry.get(node['type'])
                except RuntimeError:
                    continue
                if component is not None:
                    check_types(component, options)
    assert len(seen) > 400


@pytest.mark.parametrize(
    ('value', 'hint', 'fit'),
    [
        (1, float, True),
        (True, int, False),
        (True, float, False),
        (1, bool, False),
        ('1', int, False),
        (None, int | None, True),
        (None, int, False),
        ([1, 2], tuple[int, int], True),
        ([1], tuple[int, int], False),
        ((1, 'a'), Sequence[int], False),
        ('ab', Sequence[str], False),
        ({'a': 1}, Mapping[str, int], True),
        ({'a': 'b'}, dict[str, int], False),
        ('x', str | Path, True),
        (3, Path, False),
        ('x', object, True),
        (Ellipsis, 'Unknown', True),
    ],
)
def test_values_fit_the_types_of_signatures(value, hint, fit):
    assert fits(value, hint) is fit


def test_a_wrong_type_is_named_where_it_is_built():
    registry = Registry('thing')

    @registry.register_module()
    class Base:
        def __init__(self, size: int | None = None):
            self.size = size

    @registry.register_module()
    class Thing(Base):
        def __init__(self, rate: float = 1, **kwargs):
            super().__init__(**kwargs)

    assert registry.build(dict(type='Thing', rate=2, size=3)).size == 3
    with pytest.raises(SettingError, match='"Thing" has rate=\'fast\'; it must be a number'):
        registry.build(dict(type='Thing', rate='fast'))
    with pytest.raises(SettingError, match='has size=1.5; it must be a whole number or None'):
        registry.build(dict(type='Thing', size=1.5))
    assert said(list[int] | None) == 'a list of (a whole number) or None'
