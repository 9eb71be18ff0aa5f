"""How far an image is from what a network was trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PERCENTILES = (1, 50, 99)
FAR = 2.0
"""How many times larger or smaller than all of the training a size or a spacing is far."""
MANY = 10**6
FLAT = 20.0
"""How many times less contrast than the usual of every domain is far."""


def channels_of(image: np.ndarray) -> int:
    """Return the channels of an image (H, W), (H, W, 1) or (H, W, 3); equal ones count as one."""
    colour = image.ndim == 3 and image.shape[-1] == 3 and (image != image[..., :1]).any()
    return 3 if colour else 1


def percentiles(array: np.ndarray) -> list[float]:
    """Return the `PERCENTILES` of an image, of a million of its values where it has more."""
    return [float(one) for one in np.percentile(_finite(array), PERCENTILES)]


def _finite(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1)
    values = flat[:: max(1, flat.size // MANY)].astype(np.float64)
    values = values[np.isfinite(values)]
    return values if values.size else np.zeros(1)


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
            Those of a whole volume, for a network of such, are compared along all three.
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
    sides = [side for side in ('depth', 'height', 'width') if side in domains[0]]
    for side, value in zip(sides, shape[-len(sides) :], strict=True):
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
    odd = [value for value in spacing[-len(known[0]) :] if _outside(value, low, high)]
    what = 'pixels' if len(known[0]) == 2 else 'voxels'
    return [f'its {what} are {odd[0]:.3g} mm (there {low:.3g} to {high:.3g})'] if odd else []


def _far_intensity(
    domains: Sequence[Mapping[str, Any]], intensities: np.ndarray | Sequence[float] | None
) -> list[str]:
    if intensities is None:
        return []
    known = [domain['intensity'] for domain in domains]
    low, _, high = percentiles(np.asarray(intensities))
    least, most = _range([one['p1'] for one in known])[0], _range([one['p99'] for one in known])[1]
    margin = (most - least) / FAR
    flat = high - low < min(domain['contrast'][1] for domain in domains) / FLAT
    if low < least - margin or high > most + margin or flat:
        return [f'its intensities are {low:.4g} to {high:.4g} (there {least:.4g} to {most:.4g})']
    return []
