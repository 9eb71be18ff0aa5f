"""The rooms of the package: what may import what, and how many stand side by side."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmssl'

FLOORS = (
    ('compat', 'utils'),
    ('registry', 'structures'),
    ('datasets', 'evaluation', 'models', 'visualization'),
    ('converters', 'engine', 'inspection', 'writing'),
    ('bundles',),
    ('apis',),
    ('experiments', 'export', 'ranking'),
    ('reports',),
    ('__main__', 'testing'),
    ('testing_plugin',),
)
"""From the ground up: a room imports from lower floors and from itself alone."""

BENEATH = {('utils', 'compat'), ('registry', 'structures')}
"""Neighbours on one floor of which the first may import the second."""


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {name_of(path): path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts}


def imports(path):
    """Yield the modules of the package that a file imports, at its top or inside a function.

    What is imported for annotations alone does not count.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path}:{node.lineno} imports relatively'
            full = [f'{node.module}.{alias.name}' for alias in node.names]
            yield from (
                name if name in MODULES else node.module
                for name in full
                if name in MODULES or node.module in MODULES
            )


def room(module):
    return module.split('.')[1] if '.' in module else ''


def may(above, below):
    floors = {name: height for height, names in enumerate(FLOORS) for name in names}
    return above == below or floors[above] > floors[below] or (above, below) in BENEATH


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES} - {''} == {name for floor in FLOORS for name in floor}


@pytest.mark.parametrize('above', [name for floor in FLOORS for name in floor])
def test_no_import_runs_upwards(above):
    wrong = [
        f'{name} imports {found}'
        for name, path in MODULES.items()
        if room(name) == above
        for found in imports(path)
        if room(found) and not may(above, room(found))
    ]
    assert not wrong, '\n'.join(wrong)


# Of models too: methods stand on base, base and strategies on losses and networks.
OF_MODELS = (
    'losses',
    'unet',
    'volumetric',
    'weights',
    'sam',
    'dinov2',
    'strategies',
    'diffusion',
    'base',
    'methods',
)
OF_DATASETS = (
    'reading',
    'files',
    'cache',
    'metainfo',
    'transforms',
    'batches',
    'phantom',
    'mixed_domain',
    'prepared',
    'sets',
)


@pytest.mark.parametrize('package, rooms', [('models', OF_MODELS), ('datasets', OF_DATASETS)])
def test_rooms_of_a_package(package, rooms):
    """At most ten, in an order in which each stands on those before it."""
    found = {
        path.stem
        for path in (PACKAGE / package).iterdir()
        if path.stem not in ('__init__', '__pycache__')
    }
    assert found == set(rooms) and len(rooms) <= 10
    height = {name: n for n, name in enumerate(rooms)}
    wrong = [
        f'{name} imports {target}'
        for name, path in MODULES.items()
        if name.startswith(f'mmssl.{package}.')
        for target in imports(path)
        if target.startswith(f'mmssl.{package}.')
        and height[target.split('.')[2]] > height[name.split('.')[2]]
    ]
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize('name', sorted(n for n, p in MODULES.items() if p.stem == '__init__'))
def test_packages_say_what_is_public(name):
    """Each `__init__` has an `__all__` whose names exist; the root's are what it defines."""
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)


def test_what_is_registered_is_exported():
    """A component is found in its package's `__all__`, not only under its file."""
    from mmssl.registry import MODELS
    from mmssl.utils.setup import register_all_modules

    register_all_modules()
    for cls in MODELS.module_dict.values():
        package = cls.__module__.split('.')
        if package[0] == 'mmssl' and package[1] == 'models':
            found = importlib.import_module('.'.join(package[:3]))
            assert cls.__name__ in found.__all__, f'{cls.__module__}.{cls.__name__}'
