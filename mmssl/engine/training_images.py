"""The training images of a config as its test set sees them: no mask but the labelled ones'."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.registry import DATASETS
from mmssl.utils.errors import SettingError

TRAINING = ('prepare', 'head', 'pipeline', 'labelled_pipeline', 'unlabelled_pipeline')
"""Transforms of a training set, whose place those of the test set take."""
SIZES = ('image_size', 'box_size', 'score_size')


def training_images(cfg: Mapping[str, Any], purpose: str) -> MixedDomainDataset:
    """Build the training set of a config with the transforms of its test set.

    Sample n is read without its mask by `Draw(n, 0, 0, False)`. The test set itself is not opened.

    Args:
        cfg: a whole config.
        purpose: how a message goes on behind "a MixedDomainDataset", e.g. "can be ranked".

    Raises:
        FileNotFoundError: a file or folder is missing.
        SettingError: the config has no training set or no test set of mmssl.
    """
    given = (cfg.get('train_dataloader') or {}).get('dataset')
    while isinstance(given, Mapping) and isinstance(given.get('dataset'), Mapping):
        given = given['dataset']  # out of its wrappers
    like = (cfg.get('test_dataloader') or {}).get('dataset')
    if given is None or like is None:
        missing = 'train' if given is None else 'test'
        raise SettingError(
            f'The config has no {missing}_dataloader.dataset; a MixedDomainDataset {purpose}'
        )
    kind = given['type']
    component = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not inspect.isclass(component) or not issubclass(component, MixedDomainDataset):
        raise SettingError(f'train_dataloader has a {kind}; a MixedDomainDataset {purpose}')
    test = DATASETS.build({**like, 'lazy_init': True})
    options = {key: value for key, value in given.items() if key not in TRAINING}
    options.update({key: like[key] for key in SIZES if key in like})
    dataset: MixedDomainDataset = DATASETS.build({**options, 'cache': False, 'lazy_init': True})
    dataset.prepare, dataset.head, dataset.pipeline = test.prepare, test.head, test.pipeline
    dataset.pipelines = {True: test.pipeline, False: test.pipeline}
    dataset.full_init()
    return dataset
