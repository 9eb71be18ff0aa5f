"""Check the config of a bundle before anything is built of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.registry import Registry

from mmssl.bundles.archive import BundleError
from mmssl.registry import DATASETS, ENSEMBLES, MIXERS, MODELS, RAMPS, THRESHOLDS, TRANSFORMS
from mmssl.utils.errors import shown

OPENS_FILES = re.compile(
    r'(^|_)(checkpoint|pretrained|init_cfg|load_from|config|source|class_weight|path|file|root|dir'
    r'|args|imports?|model)$'
)
"""Options with which components open files of the machine they are built on."""

LIKE_A_FILE = re.compile(
    r'[/\\]|^~|\.(py|pyc|pkl|pickle|pth?|ckpt|bin|np[yz]|json|ya?ml|safetensors|onnx|so|h5)$', re.I
)
"""Texts that could name a file or an address."""

TOP = ('default_scope', 'model', 'test_dataloader', 'test_cfg')
DATASET = 'MixedDomainDataset'
STEPS = ('prepare', 'pipeline')
PARTS = (MODELS, RAMPS, THRESHOLDS, ENSEMBLES, MIXERS)
NEVER = ('Monai',)
"""Components that can read and write files: MONAI has transforms that do, and others within."""
FREE_TEXT = ('metainfo', 'domains', 'overrides', 'image_key', 'data_root', 'label_map')
"""Options of the data set that are read as data alone, whatever they say."""


def check_config(config: Mapping[str, Any], name: str, plug_ins: Mapping[str, str]) -> None:
    """Make sure that a config names registered components alone, and no file.

    mmengine imports whatever a `type` with a dot names: so nothing of a bundle is built before
    every `type` is found in the registries as they are.

    Args:
        config: the config.
        name: of the bundle, for messages.
        plug_ins: component to the module outside the package that registers it.

    Raises:
        BundleError: the config would run or open something else.
    """
    odd = sorted(set(map(str, config)) - set(TOP))
    if odd:
        raise BundleError(f'{name} is refused: its config has {shown(odd[0])}, which no bundle has')
    if config.get('default_scope', 'mmssl') != 'mmssl':
        raise BundleError(
            f'{name} is refused: its scope is {shown(config["default_scope"])}, not mmssl'
        )
    try:
        _check_parts(config, name, plug_ins)
    except RecursionError:
        raise BundleError(f'{name} is refused: its config is nested without end') from None


def _check_parts(config: Mapping[str, Any], name: str, plug_ins: Mapping[str, str]) -> None:
    check = _Check(name, plug_ins)
    check.components(_mapping(config.get('model'), 'model', name), 'model', PARTS)
    loader = _mapping(config.get('test_dataloader'), 'test_dataloader', name)
    if set(loader) != {'dataset'}:
        raise BundleError(f'{name} is refused: test_dataloader has more than a dataset')
    check.dataset(_mapping(loader['dataset'], 'test_dataloader.dataset', name))
    check.values(_mapping(config.get('test_cfg', {}), 'test_cfg', name), 'test_cfg')


def _mapping(value: Any, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BundleError(f'{name} is refused: {where} in its config is {shown(value)}')
    return value


class _Check:
    """The walk through a config.

    Args:
        name: of the bundle, for messages.
        plug_ins: component to the module outside the package that registers it.
    """

    def __init__(self, name: str, plug_ins: Mapping[str, str]) -> None:
        self.name, self.plug_ins = name, plug_ins

    def dataset(self, dataset: Mapping[str, Any]) -> None:
        """Check the data set, whose options are data but for its transforms."""
        where = 'test_dataloader.dataset'
        if dataset.get('type') != DATASET or dataset.get('data_root') != '.':
            raise BundleError(
                f'{self.name} is refused: {where} must be a {DATASET} with data_root "."'
            )
        self.components({'type': DATASET}, where, (DATASETS,))
        rest = {k: v for k, v in dataset.items() if k not in ('type', *FREE_TEXT, *STEPS)}
        self.values(rest, where)
        for step in STEPS:
            self.components(dataset.get(step) or [], f'{where}.{step}', (TRANSFORMS,))

    def components(self, node: Any, where: str, registries: Sequence[Registry]) -> None:
        """Check a part of the config in which every `type` is a component."""
        if isinstance(node, Mapping):
            if 'type' in node:
                self.known(node['type'], where, registries)
            for key, value in node.items():
                if key != 'type':
                    self.option(key, value, where)
                    self.components(value, f'{where}.{key}', registries)
        elif isinstance(node, list | tuple):
            for index, value in enumerate(node):
                self.components(value, f'{where}.{index}', registries)
        else:
            self.plain(node, where)

    def values(self, node: Any, where: str) -> None:
        """Check a part of the config that has no components."""
        self.components(node, where, ())

    def known(self, kind: Any, where: str, registries: Sequence[Registry]) -> None:
        """Refuse a component that no registry has, or that no bundle may have."""
        if isinstance(kind, str) and kind.rpartition('.')[2] in NEVER:
            raise BundleError(
                f'{self.name} is refused: {where} has {shown(kind)}, whose transforms may open '
                'files; no bundle has it: leave it out of test_dataloader'
            )
        if isinstance(kind, str) and any(find(registry, kind) for registry in registries):
            return
        if kind == 'none' and where.endswith('.norm_cfg'):  # no layer
            return
        module = self.plug_ins.get(kind) if isinstance(kind, str) else None
        if isinstance(module, str) and f'{kind}{module}'.isprintable():
            raise BundleError(
                f'{self.name} needs "{kind[:80]}" of the module "{module[:80]}", which is no part '
                'of mmssl: import that module first, then open the bundle'
            )
        raise BundleError(
            f'{self.name} is refused: {where}.type is {shown(kind)}, which is no component of '
            'mmssl or mmsegmentation'
        )

    def option(self, key: Any, value: Any, where: str) -> None:
        """Refuse an option that opens files, and mmengine's own keys."""
        own = isinstance(key, str) and key.startswith('_') and key.endswith('_')
        opens = isinstance(key, str) and OPENS_FILES.search(key)
        published = key == 'checkpoint' and isinstance(value, str) and value in _weights()
        if not isinstance(key, str) or own or (opens and _says(value) and not published):
            raise BundleError(
                f'{self.name} is refused: {where}.{key} is {shown(value)}; a bundle opens no '
                'other file and changes no scope'
            )

    def plain(self, value: Any, where: str) -> None:
        """Refuse a text that may name a file."""
        if isinstance(value, str) and LIKE_A_FILE.search(value):
            raise BundleError(
                f'{self.name} is refused: {where} is {shown(value)}; a bundle names no file'
            )


def _says(value: Any) -> bool:
    """Tell whether an option is more than left out, a switch that is off, or numbers."""
    if isinstance(value, list | tuple):
        return any(_says(one) for one in value)
    return value is not None and value is not False and not _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _weights() -> tuple[str, ...]:
    from mmssl.models.weights import WEIGHTS

    return tuple(WEIGHTS)


def find(registry: Registry, kind: str) -> Any:
    """Return what a name is in a registry or its parents; nothing is imported for a name.

    Args:
        registry: where to look.
        kind: a name, or one with the scope of a registry that is loaded (`mmseg.FCNHead`).
    """
    scope, _, name = kind.rpartition('.')
    chain = list(_chain(registry))
    for one in chain:
        one.import_from_location()  # its own package, whatever the name is
    if scope:  # of networks alone: other packages have transforms that unpickle images
        every = _tree(chain[-1]) if registry is MODELS else chain
        chain = [one for one in every if one.scope == scope]
    return next((one.module_dict[name] for one in chain if name in one.module_dict), None)


def _chain(registry: Registry | None) -> Iterator[Registry]:
    while registry is not None:
        yield registry
        registry = registry.parent


def _tree(registry: Registry) -> Iterator[Registry]:
    yield registry
    for child in registry.children.values():
        yield from _tree(child)
