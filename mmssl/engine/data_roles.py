"""What a model and the data sets of a run must agree on, compared where they meet."""

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from mmssl.registry import DATASETS


def meet(model: nn.Module, dataset: Any, role: str) -> None:
    """Compare a model with a data set that it is trained or scored on.

    A model's `check_data` is given what the data set says of itself (`metainfo`).

    Args:
        model: the model.
        dataset: the data set.
        role: 'train', 'val' or 'test'.

    Raises:
        ValueError: the data set is for another purpose, or its classes or parts are others.
    """
    mode = getattr(dataset, 'mode', role)
    if (mode == 'train') != (role == 'train'):
        raise ValueError(
            f'{role}_dataloader has a data set of mode="{mode}": set '
            f'{role}_dataloader.dataset.mode="{role}"'
        )
    check = getattr(model, 'check_data', None)
    if check is not None:
        try:
            check(getattr(dataset, 'metainfo', {}))
        except ValueError as error:
            raise ValueError(f'{role}_dataloader.dataset: {error}') from None


def meet_config(model: nn.Module, loader: Any, role: str) -> None:
    """Compare a model with a data set that is built later, by its config; no file is looked for.

    Args:
        model: the model.
        loader: config of the data loader; what is no config is left alone.
        role: as in `meet`.

    Raises:
        ValueError: as in `meet`, or an option of the data set does not fit.
    """
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    if isinstance(dataset, Mapping) and isinstance(dataset.get('type'), str):
        component = DATASETS.get(dataset['type'])
        if component and 'lazy_init' in inspect.signature(component.__init__).parameters:
            meet(model, DATASETS.build({**dataset, 'lazy_init': True}), role)
