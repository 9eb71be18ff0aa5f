"""The config of a bundle: what predicting needs of a training's config, resolved."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from mmssl.bundles.check import DATASET, STEPS
from mmssl.bundles.plain import plain
from mmssl.datasets.files.layout import DomainLayout
from mmssl.registry import DATASETS
from mmssl.utils.errors import SettingError

OF_FILES = (
    'image_dir',
    'mask_dir',
    'image_name',
    'mask_name',
    'image_suffixes',
    'mask_suffixes',
    'mask_key',
    'split',
    'case_pattern',
    'label_map',
)
"""Options of a layout that say where files lie and what masks mean; the others say how to read."""

OF_METAINFO = ('classes', 'parts', 'palette', 'dataset_name')
SIZES = ('image', 'box', 'score')


def prediction_config(cfg: Mapping[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    """Return what `init_model` and `inference_model` need, without a path and without code.

    The data set is a `MixedDomainDataset` whatever the config has, with what its class adds
    written out.

    Args:
        cfg: the whole config.
        model: config of the bundle's model.

    Raises:
        SettingError: the config has no test data.
    """
    return {
        'default_scope': 'mmssl',
        'model': model,
        'test_cfg': {'fp16': plain((cfg.get('test_cfg') or {}).get('fp16', False))},
        'test_dataloader': {'dataset': _dataset(cfg)},
    }


def test_dataset(cfg: Mapping[str, Any]) -> Any:
    """Build the test data set of a config; no file is looked for.

    Raises:
        SettingError: there is none.
    """
    given = (cfg.get('test_dataloader') or {}).get('dataset')
    if given is None:
        raise SettingError(
            'The config has no test_dataloader.dataset, which says how images are read and prepared'
        )
    return DATASETS.build({**given, 'lazy_init': True})


def _dataset(cfg: Mapping[str, Any]) -> dict[str, Any]:
    dataset, given = test_dataset(cfg), cfg['test_dataloader']['dataset']
    meta = dataset.metainfo
    ways = {name: _reading(layout) for name, layout in dataset.layouts.items()}
    base = next(iter(ways.values()))
    return {
        'type': DATASET,
        'data_root': '.',
        'mode': 'test',
        'domains': list(dataset.domains),
        # The values of a mask are nothing to a prediction, but how many classes there are is.
        'label_map': {str(index): index for index in range(meta['num_classes'])},
        'metainfo': {key: plain(meta[key]) for key in OF_METAINFO},
        **{f'{key}_size': plain(dataset.sizes[key]) for key in SIZES},
        **base,
        'overrides': {name: way for name, way in ways.items() if way != base},
        **{step: plain(given.get(step) or []) for step in STEPS},
    }


def _reading(layout: DomainLayout) -> dict[str, Any]:
    """Return how the files of a domain are read, as options that are not the defaults."""
    found = {}
    for option in fields(layout):
        value = getattr(layout, option.name)
        default = option.default if option.default is not MISSING else None
        if option.name not in OF_FILES and value != default:
            found[option.name] = plain(value)
    return found
