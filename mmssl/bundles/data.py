"""What a network was trained on, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmssl.bundles.distance import PERCENTILES, channels_of, percentiles
from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.decode import read_array
from mmssl.datasets.reading.image_file import open_image
from mmssl.datasets.transforms import NormaliseIntensity
from mmssl.registry import DATASETS

LARGEST_SAMPLE = 200
"""Images of a domain that are opened, evenly over all."""


def training_dataset(cfg: Mapping[str, Any]) -> MixedDomainDataset | None:
    """Build the training data set of a config; None where it has none of the kind.

    Raises:
        OSError: the data are not there.
        ValueError: they do not fit the config.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    while isinstance(dataset, Mapping) and isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    if not isinstance(dataset, Mapping):
        return None
    built = DATASETS.build({**dataset, 'cache': False})
    return built if isinstance(built, MixedDomainDataset) else None


def summarise(dataset: MixedDomainDataset, show: bool | None = None) -> dict[str, Any]:
    """Measure a training set, as its files hold it.

    Args:
        dataset: the data set; of each domain at most 200 images are opened.
        show: draw a progress bar, see `progress_wanted`.

    Returns:
        `domains`: by name `images`, `labelled`, `cases`, and of the images that were opened
        `height`, `width`, `spacing` (row, column; mm), `intensity` (for each percentile of an
        image) and `contrast`, each as the smallest, the median and the largest; of whole volumes
        `depth` too, a `spacing` of three, and the intensities of the middle slice. `channels`, and
        whether intensities are scaled by file (`per_file`).
    """
    from tqdm import tqdm

    from mmssl.engine.hooks.progress_hook import progress_wanted

    by_domain: dict[str, list[Any]] = {}
    for sample in dataset.samples:
        by_domain.setdefault(sample.domain, []).append(sample)
    chosen = [
        samples[i]
        for samples in by_domain.values()
        for i in sorted({int(i) for i in np.linspace(0, len(samples) - 1, LARGEST_SAMPLE)})
    ]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in by_domain}
    for sample in tqdm(
        chosen, desc='training data', unit='image', disable=not progress_wanted(show)
    ):
        rows[sample.domain].append(_look(sample, dataset.layouts[sample.domain]))
    channels = {row['channels'] for found in rows.values() for row in found}
    ways = {_per_file(dataset, layout) for layout in dataset.layouts.values()}
    return {
        'domains': {
            name: {
                'images': len(samples),
                'labelled': sum(sample.labelled for sample in samples),
                'cases': len({sample.case for sample in samples}),
                **_spreads(rows[name]),
            }
            for name, samples in by_domain.items()
        },
        'channels': sorted(channels),
        'per_file': True in ways,
    }


def _per_file(dataset: MixedDomainDataset, layout: Any) -> bool:
    """Return whether intensities are scaled by what a file holds, so that their unit is nothing."""
    if dataset.sample != 'volume':
        return bool(layout.value_range == 'volume')
    return any(
        isinstance(step, NormaliseIntensity) and step.window is None and step.mode != 'none'
        for step in dataset.prepare
    )


def _look(sample: Any, layout: Any) -> dict[str, Any]:
    """Measure one image, or the middle slice of a whole volume, as its file holds it."""
    path, axes, index = sample.img_path, layout.axes, sample.index
    if sample.slices:
        path = sample.slices[len(sample.slices) // 2].img_path
    file = open_image(path, layout.image_key, axes)
    whole = layout.sample == 'volume'
    if whole and len(file.shape) == 3:
        index = file.shape[0] // 2
    array = read_array(path, layout.image_key, index, axes)
    spacing = file.spacing or layout.spacing
    depth = len(sample.slices) or file.shape[0] if whole else None
    return {
        **({'depth': depth} if whole else {}),
        'height': array.shape[0],
        'width': array.shape[1],
        'channels': channels_of(array),
        'spacing': None
        if spacing is None
        else [float(one) for one in spacing[-3 if whole else -2 :]],
        'intensity': percentiles(array),
    }


def _spread(values: Sequence[float]) -> list[float]:
    return [float(np.min(values)), float(np.median(values)), float(np.max(values))]


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    spacings = [row['spacing'] for row in rows if row['spacing'] is not None]
    return {
        'opened': len(rows),
        **{
            key: _spread([row[key] for row in rows])
            for key in ('depth', 'height', 'width')
            if key in rows[0]
        },
        'spacing': [_spread(axis) for axis in zip(*spacings, strict=True)] if spacings else None,
        'intensity': {
            f'p{percentile}': _spread([row['intensity'][n] for row in rows])
            for n, percentile in enumerate(PERCENTILES)
        },
        'contrast': _spread([row['intensity'][-1] - row['intensity'][0] for row in rows]),
    }
