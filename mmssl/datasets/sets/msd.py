"""Tasks of the Medical Segmentation Decathlon, described by their own `dataset.json`."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmssl.datasets.files.naming import as_names, did_you_mean
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.errors import DataError
from mmssl.registry import DATASETS

FILE = 'dataset.json'


@DATASETS.register_module()
class MSD(MixedDomainDataset):
    """A task of the Decathlon: `imagesTr`, `labelsTr` and `dataset.json`; `imagesTs` is not used.

    Classes and mask values are those of `dataset.json`, unless the config gives `label_map` and
    `metainfo`. By default a fifth of the cases is for testing and a tenth for validation, drawn by
    a seed. Cite Antonelli et al. (Nature Communications 2022).

    Args:
        data_root: the folder of the task.
        modality: which channels are read of images with several, by their names in
            `dataset.json`: one, or a list of several for whole volumes.
        **options: those of `MixedDomainDataset`.

    Raises:
        FileNotFoundError: `dataset.json` is needed and not there.
        DataError: it describes no task.
        ValueError: images have several channels and none is named, or there is no such channel.
    """

    DOMAINS = ('MSD',)
    LAYOUT = dict(
        sample='volume',
        image_dir='imagesTr',
        mask_dir='labelsTr',
        split=dict(type='case', val=0.1, test=0.2),
    )

    def __init__(
        self,
        data_root: str,
        modality: str | Sequence[str] | None = None,
        **options,
    ) -> None:
        file = os.path.join(os.fspath(data_root), FILE)
        described = _read(file) if os.path.isfile(file) else {}
        if 'label_map' not in options:
            options.update(_classes(file, described, options.get('metainfo') or {}))
        if 'frame' not in options:
            frames = _frames(file, described, modality)
            if frames is not None:
                options['frame'] = frames
        super().__init__(data_root, **options)


def _read(file: str) -> dict[str, Any]:
    try:
        with open(file, encoding='utf-8') as opened:
            content = json.load(opened)
    except (OSError, ValueError) as error:
        raise DataError(
            f'{file} cannot be read as JSON ({error}). Copy it again, or give label_map and '
            'metainfo=dict(classes=...) in its place.'
        ) from None
    if not isinstance(content, dict):
        raise DataError(f'{file} is no description of a task. Copy it again.')
    return content


def _classes(file: str, described: Mapping, metainfo: Mapping) -> dict[str, Any]:
    """Return the options that say which classes there are."""
    if not described:
        raise FileNotFoundError(
            f'{file} does not exist, from which the classes are taken. Set data_root to the '
            'folder of a task, or give label_map={0: 0, 1: 1} and metainfo=dict(classes=...).'
        )
    try:
        names = {int(value): str(name) for value, name in described['labels'].items()}
    except (KeyError, AttributeError, TypeError, ValueError):
        names = {}
    if 0 not in names or len({*names.values()}) < len(names):
        raise DataError(
            f'{file} has labels = {described.get("labels")!r}; value -> name is needed, each name '
            'once, as in {"0": "background", "1": "liver"}. Correct it, or give label_map.'
        )
    values = sorted(names)
    classes = ('background', *(names[value] for value in values[1:]))
    title = str(described.get('name') or 'MSD').lower()
    return dict(
        label_map={value: index for index, value in enumerate(values)},
        metainfo=dict(dict(dataset_name=title, classes=classes), **metainfo),
    )


def _frames(
    file: str, described: Mapping, modality: str | Sequence[str] | None
) -> int | tuple[int, ...] | None:
    """Return which frames of the files are read; None where they hold one volume.

    Raises:
        ValueError: no channel is named of several, or one that is not there.
    """
    listed = described.get('modality')
    channels = {str(name): int(key) for key, name in dict(listed or {}).items()}
    said = ', '.join(f'"{name}"' for name in channels)
    if modality is None:
        if len(channels) > 1:
            raise ValueError(
                f'Images have {len(channels)} channels ({said}, by {file}). Name those to read, '
                f'modality={next(iter(channels))!r} or several in a list.'
            )
        return None
    named = as_names(modality, 'modality')
    for name in named:
        if name not in channels:
            raise ValueError(
                f'modality names "{name}", but {file} lists {said or "no modality"}.'
                + did_you_mean(name, channels)
            )
    if len(channels) == 1:
        return None
    return channels[named[0]] if len(named) == 1 else tuple(channels[name] for name in named)
