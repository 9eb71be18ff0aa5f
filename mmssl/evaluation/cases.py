"""Slices back to volumes: order, stacking, spacing."""

import re
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np


def natural_key(text: object) -> list:
    """Return a sort key that orders numbers inside names by value.

    Example:
        >>> sorted(['s10', 's9', 's1'], key=natural_key)
        ['s1', 's9', 's10']
    """
    return [(0, int(t), '') if t.isdigit() else (1, 0, t) for t in re.split(r'(\d+)', str(text))]


def pack_map(classes: np.ndarray) -> tuple[bytes, tuple, str]:
    """Compress a class map; `unpack_map` restores it."""
    classes = np.ascontiguousarray(classes)
    return zlib.compress(classes.tobytes(), 1), classes.shape, classes.dtype.str


def unpack_map(packed: tuple[bytes, tuple, str]) -> np.ndarray:
    """Return the class map that `pack_map` compressed."""
    data, shape, dtype = packed
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


def pixel_spacing(sample: Mapping, shape: Sequence[int]) -> tuple[float, ...]:
    """Return a sample's spacing in mm at the size `shape` of its evaluation.

    The spacing in the sample is that of the original image (`ori_shape`); its last numbers are
    those of the axes of `shape`, two of a slice (H, W) or three of a volume (D, H, W).

    Raises:
        ValueError: if the sample has no spacing, or too few numbers of it.
    """
    spacing = sample.get('spacing')
    if spacing is None:
        raise ValueError(
            f'Image {sample.get("img_path")} has no spacing, so distances cannot be given in mm; '
            "use unit='pixel' or a data set that carries the spacing."
        )
    axes = len(shape)
    if len(spacing) < axes:
        raise ValueError(
            f'Image {sample.get("img_path")} has the spacing {tuple(spacing)}, but a volume in mm '
            "needs three numbers, the distance between slices first; use unit='pixel'."
        )
    ori_shape = sample.get('ori_shape') or shape
    scaled = [s * o / n for s, o, n in zip(spacing[-axes:], ori_shape[:axes], shape, strict=True)]
    return (*map(float, spacing[:-axes]), *map(float, scaled))


def slice_position(item: Mapping) -> list:
    """Return the place of a slice in its volume: its number in the file, else in the name."""
    index = item.get('index')
    return natural_key(item['slice'] if index is None else index)


def stack_slices(items: Sequence[dict], per: str) -> dict:
    """Stack the slices of one case or volume by their number, whatever order they come in.

    Args:
        items: slices with `domain`, `case` or `volume`, `slice`, `index`, `shape`, `spacing`,
            `students` and packed `maps`.
        per: 'case' or 'volume', what is stacked.

    Returns:
        The first slice's entries, with `maps` as volumes (D, H, W).

    Raises:
        ValueError: if the slices have no order or the same number, differ in size, or lack the
            spacing between them.
    """
    items = sorted(items, key=slice_position)
    first = items[0]
    label = f'{per.capitalize()} {first[per]} of domain {first["domain"]}'
    unnumbered = any(item['slice'] is None and item.get('index') is None for item in items)
    if len(items) > 1 and unnumbered:
        raise ValueError(f"{label} has slices without a number; use per='slice'.")
    for item, after in pairwise(items):
        if slice_position(item) == slice_position(after):
            raise ValueError(
                f'{label} has two slices numbered {item["slice"]}, {item["key"]} and '
                f'{after["key"]}. Tell its volumes apart by a group "volume" in case_pattern.'
            )
    if len({item['shape'] for item in items}) > 1:
        shapes = sorted({item['shape'] for item in items})
        raise ValueError(f'{label} has slices of different sizes {shapes}.')
    if first['spacing'] is not None and len(first['spacing']) != 3:
        raise ValueError(
            f'{label} has spacing {first["spacing"]}; a volume in mm needs three numbers, the '
            'distance between slices first.'
        )
    maps = {
        name: np.stack([unpack_map(item['maps'][name]) for item in items])
        for name in ('gt', *first['students'])
    }
    return {**first, 'maps': maps, 'shape': maps['gt'].shape}
