"""What a network was trained on, in numbers, and how far from it an image is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmssl.datasets.mixed_domain import MixedDomainDataset
from mmssl.datasets.reading.decode import holds_volumes, read_array
from mmssl.datasets.reading.volumes import file_spacing
from mmssl.registry import DATASETS

LARGEST_SAMPLE = 200
"""Images of a domain that are opened, evenly over all."""

PERCENTILES = (1, 50, 99)
FAR = 2.0
"""How many times larger or smaller than all of the training a size or a spacing is far."""
FLAT = 20.0
"""How many times less contrast than the usual of every domain is far."""


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


def summarise(dataset: MixedDomainDataset, show: bool = True) -> dict[str, Any]:
    """Measure a training set, as its files hold it.

    Args:
        dataset: the data set; of each domain at most 200 images are opened.
        show: draw a progress bar.

    Returns:
        `domains`: by name `images`, `labelled`, `cases`, and of the images that were opened
        `height`, `width`, `spacing` (row, column; mm), `intensity` (for each percentile of an
        image) and `contrast`, each as the smallest, the median and the largest. `channels`, and
        whether intensities are scaled by file (`per_file`).
    """
    from tqdm import tqdm

    by_domain: dict[str, list[Any]] = {}
    for sample in dataset.samples:
        by_domain.setdefault(sample.domain, []).append(sample)
    chosen = [
        samples[i]
        for samples in by_domain.values()
        for i in sorted({int(i) for i in np.linspace(0, len(samples) - 1, LARGEST_SAMPLE)})
    ]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in by_domain}
    for sample in tqdm(chosen, desc='training data', unit='image', disable=not show):
        rows[sample.domain].append(_look(sample, dataset.layouts[sample.domain]))
    channels = {row['channels'] for found in rows.values() for row in found}
    ways = {layout.value_range == 'volume' for layout in dataset.layouts.values()}
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


def _look(sample: Any, layout: Any) -> dict[str, Any]:
    """Measure one image as its file holds it."""
    path = sample.img_path
    array = read_array(path, layout.image_key, sample.index, layout.axes)
    spacing = file_spacing(path, layout.image_key, layout.axes) if holds_volumes(path) else None
    spacing = spacing or layout.spacing
    return {
        'height': array.shape[0],
        'width': array.shape[1],
        'channels': channels_of(array),
        'spacing': None if spacing is None else [float(one) for one in spacing[-2:]],
        'intensity': _percentiles(array),
    }


def channels_of(image: np.ndarray) -> int:
    """Return the channels of an image (H, W), (H, W, 1) or (H, W, 3); equal ones count as one."""
    colour = image.ndim == 3 and image.shape[-1] == 3 and (image != image[..., :1]).any()
    return 3 if colour else 1


def _percentiles(array: np.ndarray) -> list[float]:
    return [float(one) for one in np.percentile(_finite(array), PERCENTILES)]


def _finite(array: np.ndarray) -> np.ndarray:
    values = np.asarray(array, np.float64).ravel()
    values = values[np.isfinite(values)]
    return values if values.size else np.zeros(1)


def _spread(values: Sequence[float]) -> list[float]:
    return [float(np.min(values)), float(np.median(values)), float(np.max(values))]


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    spacings = [row['spacing'] for row in rows if row['spacing'] is not None]
    return {
        'opened': len(rows),
        **{key: _spread([row[key] for row in rows]) for key in ('height', 'width')},
        'spacing': [_spread(axis) for axis in zip(*spacings, strict=True)] if spacings else None,
        'intensity': {
            f'p{percentile}': _spread([row['intensity'][n] for row in rows])
            for n, percentile in enumerate(PERCENTILES)
        },
        'contrast': _spread([row['intensity'][-1] - row['intensity'][0] for row in rows]),
    }


def far_from_training(
    card: Mapping[str, Any],
    spacing: Sequence[float] | None,
    shape: Sequence[int],
    intensities: np.ndarray | Sequence[float] | None,
    channels: int | None,
) -> str | None:
    """Say in one sentence how an image differs from all that a network was trained on.

    Args:
        card: `model.bundle`.
        spacing: mm of the image's axes, the last two being (row, column); None where unknown.
        shape: (H, W) of an image, or (Z, H, W) of a volume.
        intensities: of the image as its file holds them, any shape; None where unknown.
        channels: of the image, see `channels_of`; None where unknown.

    Returns:
        None if it is near, or nothing is known of the training data.

    Example:
        >>> domain = dict(height=[64, 64, 64], width=[64, 64, 64], spacing=None)
        >>> card = {'data': dict(domains=dict(site=domain), channels=[1], per_file=False)}
        >>> far_from_training(card, None, (64, 60), None, 1)
        >>> far_from_training(card, None, (512, 64), None, 1)
        'The image is far from the training data: its height is 512 px (there 64 to 64)'
    """
    data = card.get('data')
    if not data or not data.get('domains'):
        return None
    domains = list(data['domains'].values())
    said = [
        *_far_sizes(domains, shape),
        *_far_spacing(domains, spacing),
        *([] if data['per_file'] else _far_intensity(domains, intensities)),
    ]
    if channels is not None and channels > max(data['channels']):
        said.append(f'it has {channels} channels (there {max(data["channels"])})')
    if not said:
        return None
    return f'The image is far from the training data: {"; ".join(said)}'


def _range(spreads: Sequence[Sequence[float]]) -> tuple[float, float]:
    return min(one[0] for one in spreads), max(one[-1] for one in spreads)


def _outside(value: float, low: float, high: float) -> bool:
    return not low / FAR <= value <= high * FAR


def _far_sizes(domains: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> list[str]:
    said = []
    for side, value in zip(('height', 'width'), shape[-2:], strict=True):
        low, high = _range([domain[side] for domain in domains])
        if _outside(value, low, high):
            said.append(f'its {side} is {value} px (there {low:g} to {high:g})')
    return said


def _far_spacing(
    domains: Sequence[Mapping[str, Any]], spacing: Sequence[float] | None
) -> list[str]:
    known = [domain['spacing'] for domain in domains if domain['spacing']]
    if spacing is None or not known:
        return []
    low = min(_range([axis])[0] for axes in known for axis in axes)
    high = max(_range([axis])[1] for axes in known for axis in axes)
    odd = [value for value in spacing[-2:] if _outside(value, low, high)]
    return [f'its pixels are {odd[0]:.3g} mm (there {low:.3g} to {high:.3g})'] if odd else []


def _far_intensity(
    domains: Sequence[Mapping[str, Any]], intensities: np.ndarray | Sequence[float] | None
) -> list[str]:
    if intensities is None:
        return []
    known = [domain['intensity'] for domain in domains]
    low, _, high = _percentiles(np.asarray(intensities))
    least, most = _range([one['p1'] for one in known])[0], _range([one['p99'] for one in known])[1]
    margin = (most - least) / FAR
    flat = high - low < min(domain['contrast'][1] for domain in domains) / FLAT
    if low < least - margin or high > most + margin or flat:
        return [f'its intensities are {low:.4g} to {high:.4g} (there {least:.4g} to {most:.4g})']
    return []
