"""What the values of a mask file mean."""

from collections.abc import Mapping, Sequence

import numpy as np

from .errors import DataError


def _key_values(key: int | str | Sequence[int]) -> tuple[int, ...]:
    """Return a label map's key as (value,), (low, high) or (red, green, blue)."""
    if isinstance(key, str):
        key = [int(part) for part in key.replace('-', ',').split(',')]
    values = (key,) if isinstance(key, int | np.integer) else tuple(key)
    if len(values) > 3 or not all(0 <= int(value) <= 65535 for value in values):
        raise ValueError(
            f'Label map key {key!r} is not a value, a range (low, high) or a colour (r, g, b).'
        )
    return tuple(int(value) for value in values)


class LabelMap:
    """What the values of a mask file mean: value, range of values or colour -> class id.

    Keys are single values (`128`), ranges with both ends included (`(1, 128)` or `'1-128'`), or
    colours (`(255, 0, 0)` or `'255,0,0'`); colours do not mix with the other two. A value that
    is not listed is an error.

    Args:
        mapping: key -> class id; 0 is the background.
        nearest: take the nearest listed value instead of raising, for masks that went through
            a lossy format.

    Example:
        >>> fundus = LabelMap({0: 1, 128: 2, 255: 0})
        >>> fundus(np.array([[0, 128, 255]], np.uint8)).tolist()
        [[1, 2, 0]]
    """

    def __init__(self, mapping: Mapping, nearest: bool = False) -> None:
        keys = [_key_values(key) for key in mapping]
        if not keys:
            raise ValueError('The label map is empty.')
        self.colour = len(keys[0]) == 3
        if any((len(key) == 3) != self.colour for key in keys):
            raise ValueError(f'The label map mixes colours with values: {dict(mapping)}.')
        self.entries = list(zip(keys, (int(item) for item in mapping.values()), strict=True))
        self.nearest = nearest
        self.num_classes = max(item for _, item in self.entries) + 1
        if self.colour:
            self._table = None
        else:
            self._table = self._lookup_table()

    def __repr__(self) -> str:
        """Show the entries as they are written in a config."""
        parts = []
        for key, item in self.entries:
            name = f'{key[0]}' if len(key) == 1 else '-'.join(map(str, key))
            parts.append(f'{key if self.colour else name} -> {item}')
        return ', '.join(parts)

    @classmethod
    def build(cls, spec: 'LabelMap | Mapping') -> 'LabelMap':
        """Make a label map from itself, a plain mapping or `dict(mapping=..., nearest=True)`."""
        if isinstance(spec, cls):
            return spec
        return cls(**spec) if 'mapping' in spec else cls(spec)

    def _lookup_table(self) -> np.ndarray:
        """Return class ids for values 0..65535, -1 where none is listed."""
        table = np.full(65536, -1, np.int16)
        for key, item in self.entries:
            low, high = key[0], key[-1]
            if high < low or (table[low : high + 1] >= 0).any():
                raise ValueError(f'Label map range {key} is empty or overlaps another one.')
            table[low : high + 1] = item
        if self.nearest:
            listed = np.flatnonzero(table >= 0)
            middles = (listed[1:] + listed[:-1]) / 2
            table = table[listed[np.searchsorted(middles, np.arange(65536))]]
        return table

    def __call__(self, mask: np.ndarray, path: str = 'the mask') -> np.ndarray:
        """Turn a mask as stored, (H, W) or (H, W, 3), into class ids, uint8 (H, W).

        Raises:
            DataError: a value is not listed, or the mask is coloured and the map is not.
        """
        if self.colour:
            return self._map_colours(mask, path)
        if mask.ndim == 3:
            if not (mask == mask[..., :1]).all():
                raise DataError(
                    f'Mask {path} is coloured, the label map lists single values ({self}). '
                    'List colours instead: label_map={(255, 0, 0): 1, ...}.'
                )
            mask = mask[..., 0]
        if mask.dtype not in (np.uint8, np.uint16):
            raise DataError(f'Mask {path} has type {mask.dtype}; masks hold whole numbers.')
        classes = self._table[mask]
        if classes.min() < 0:
            self._refuse(np.unique(mask[classes < 0]), path)
        return classes.astype(np.uint8)

    def _map_colours(self, mask: np.ndarray, path: str) -> np.ndarray:
        if mask.ndim == 2:
            mask = np.repeat(mask[..., None], 3, axis=2)
        if self.nearest:
            listed = np.array([key for key, _ in self.entries], np.int32)
            distance = np.abs(mask[:, :, None].astype(np.int32) - listed).sum(-1)
            ids = np.array([item for _, item in self.entries], np.uint8)
            return ids[distance.argmin(-1)]
        weights = np.array([65536 * 65536, 65536, 1], np.uint64)
        code = (mask * weights).sum(-1)
        classes = np.full(mask.shape[:2], -1, np.int16)
        for key, item in self.entries:
            classes[code == (np.array(key, np.uint64) * weights).sum()] = item
        if classes.min() < 0:
            self._refuse(np.unique(mask[classes < 0], axis=0), path)
        return classes.astype(np.uint8)

    def _refuse(self, values: np.ndarray, path: str) -> None:
        shown = ', '.join(str(value) for value in values[:8].tolist())
        more = f' and {len(values) - 8} more' if len(values) > 8 else ''
        raise DataError(
            f'Mask {path} has value {shown}{more}, which the label map does not list ({self}). '
            'Add it to label_map, write a range such as "1-128", or set nearest=True.'
        )
