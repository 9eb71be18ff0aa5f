"""What the values of a mask file mean."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmssl.datasets.reading.errors import DataError

COUNTS = ('index', 'colour', 'alpha')


def _key_values(key: int | str | Sequence[int]) -> tuple[int, ...]:
    """Return a label map's key as (value,), (low, high) or (red, green, blue)."""
    if isinstance(key, str):
        try:
            key = [int(part) for part in key.strip('()').replace('-', ',').split(',')]
        except ValueError:
            raise ValueError(
                f'Label map key "{key}" is no value, range such as "1-128" or colour such as '
                '"255,0,0"; the options beside them are "nearest" and "counts".'
            ) from None
    values = (key,) if isinstance(key, int | np.integer) else tuple(key)
    if len(values) > 3 or not all(0 <= int(value) <= 65535 for value in values):
        raise ValueError(
            f'Label map key {key!r} is not a value, a range (low, high) or a colour (r, g, b).'
        )
    return tuple(int(value) for value in values)


LAST_CLASS = 254  # masks hold class ids in 8 bits


def _as_mapping(text: str) -> Mapping:
    """Return the mapping that a text writes."""
    try:
        found = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        found = None
    if not isinstance(found, Mapping):
        raise ValueError(f'label_map = "{text}" is no mapping such as {{0: 0, 255: 1}}.')
    return found


class LabelMap:
    """What the values of a mask file mean: value, range of values or colour -> class id.

    Keys are single values (`128`), ranges with both ends included (`(1, 128)` or `'1-128'`), or
    colours (`(255, 0, 0)` or `'255,0,0'`); colours do not mix with the other two. A value that
    is not listed is an error.

    Args:
        mapping: key -> class id; 0 is the background.
        nearest: take the nearest listed value instead of raising, for masks that went through
            a lossy format.
        counts: what of a picture counts where it has more than one thing to read: 'index', the
            numbers into a palette, 'colour', the colours that are seen, or 'alpha', the opacity.
            None reads what can only be meant and asks where two things could.

    Example:
        >>> fundus = LabelMap({0: 1, 128: 2, 255: 0})
        >>> fundus(np.array([[0, 128, 255]], np.uint8)).tolist()
        [[1, 2, 0]]
    """

    def __init__(self, mapping: Mapping, nearest: bool = False, counts: str | None = None) -> None:
        keys = [_key_values(key) for key in mapping]
        if not keys:
            raise ValueError('The label map is empty.')
        for key, item in mapping.items():
            if (
                isinstance(item, bool)
                or not isinstance(item, int | np.integer)
                or (not 0 <= item <= LAST_CLASS)
            ):
                raise ValueError(
                    f'The label map (label_map) gives {item!r} for {key!r}; class ids '
                    f'are whole numbers from 0 to {LAST_CLASS}.'
                )
        if counts not in (None, *COUNTS):
            raise ValueError(f'counts = {counts!r} is not known (known: {", ".join(COUNTS)}).')
        self.colour = len(keys[0]) == 3
        if any((len(key) == 3) != self.colour for key in keys):
            raise ValueError(f'The label map mixes colours with values: {dict(mapping)}.')
        self.entries = list(zip(keys, (int(item) for item in mapping.values()), strict=True))
        self.nearest = bool(nearest)
        self.counts = counts
        self.num_classes = max(item for _, item in self.entries) + 1
        self._table = np.empty(0, np.int16) if self.colour else self._lookup_table()

    def __repr__(self) -> str:
        """Show the entries in words."""
        parts = []
        for key, item in self.entries:
            name = f'{key[0]}' if len(key) == 1 else '-'.join(map(str, key))
            parts.append(f'{key if self.colour else name} -> {item}')
        return ', '.join(parts)

    def written(self, **options) -> str:
        """Return the map as it is written in a config, with some options set."""
        parts = []
        for key, item in self.entries:
            name = {1: f'{key[0]}', 2: f'"{key[0]}-{key[-1]}"', 3: f'{key}'}[len(key)]
            parts.append(f'{name}: {item}')
        own = {'nearest': self.nearest or None, 'counts': self.counts, **options}
        parts += [f'"{name}": {value!r}' for name, value in own.items() if value is not None]
        return 'label_map={' + ', '.join(parts).replace("'", '"') + '}'

    @classmethod
    def build(cls, spec: 'LabelMap | Mapping | str | Sequence[str]') -> 'LabelMap':
        """Make a label map from what a config or the command line gives.

        That is a label map, a mapping with or without the options beside its values
        (`{0: 0, 255: 1, 'nearest': True}`), `dict(mapping=..., nearest=True)`, or the text of one
        of these. Where a config adds `mapping` to what its base lists, the later one counts.
        """
        if isinstance(spec, cls):
            return spec
        if not isinstance(spec, Mapping | str | Sequence):
            spec = str(spec)
        if not isinstance(spec, Mapping):
            spec = _as_mapping(spec if isinstance(spec, str) else ','.join(map(str, spec)))
        options: dict[str, Any] = {}
        mapping: dict[Any, int] = {}
        for key, item in spec.items():
            if key in ('nearest', 'counts'):
                options[key] = item
            else:
                listed = item if key == 'mapping' else {key: item}
                mapping.update((_key_values(own), value) for own, value in listed.items())
        return cls(mapping, **options)

    def _lookup_table(self) -> np.ndarray:
        """Return class ids for values 0..65535, -1 where none is listed."""
        table = np.full(65536, -1, np.int16)
        for key, item in self.entries:
            low, high = key[0], key[-1]
            if high < low or (table[low : high + 1] >= 0).any():
                raise ValueError(
                    f'Label map range {key} is empty or overlaps another one ({self}). Leave one '
                    "of them out; '_delete_': True leaves out what the base config lists."
                )
            table[low : high + 1] = item
        self._listed = np.flatnonzero(table >= 0).astype(np.uint16)
        return table

    def lists(self, values: np.ndarray) -> bool:
        """Return whether all of some values, none of them a colour, are listed."""
        return bool((self._table[values] >= 0).all())

    def nearest_listed(self, values: np.ndarray) -> np.ndarray:
        """Return the nearest listed values, uint16; the smaller one half-way between two."""
        listed = self._listed.astype(np.float64)
        return self._listed[np.searchsorted((listed[1:] + listed[:-1]) / 2, values)]

    def __call__(self, mask: np.ndarray, path: str = 'the mask', lossy: bool = False) -> np.ndarray:
        """Turn a mask as stored, (H, W) or (H, W, 3), into class ids, uint8 (H, W).

        Args:
            mask: values or colours, uint8 or uint16.
            path: the file, for messages.
            lossy: whether its format changes values, for messages.

        Raises:
            DataError: a value is not listed, or the mask is coloured and the map is not.
        """
        if mask.dtype not in (np.uint8, np.uint16):
            raise DataError(f'Mask {path} has type {mask.dtype}; masks hold whole numbers.')
        if self.colour:
            return self._map_colours(mask, path, lossy)
        if mask.ndim == 3:
            if not (mask == mask[..., :1]).all():
                self._refuse_colours(mask, path)
            mask = mask[..., 0]
        classes = self._table[self.nearest_listed(mask) if self.nearest else mask]
        if classes.min() < 0:
            self._refuse(np.unique(mask[classes < 0]), path, lossy)
        return classes.astype(np.uint8)

    def _map_colours(self, mask: np.ndarray, path: str, lossy: bool) -> np.ndarray:
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
            self._refuse(np.unique(mask[classes < 0], axis=0), path, lossy)
        return classes.astype(np.uint8)

    def _refuse_colours(self, mask: np.ndarray, path: str) -> None:
        colours, number = np.unique(mask.reshape(-1, 3), axis=0, return_counts=True)
        few = [tuple(colour) for colour in colours[np.argsort(-number)][:2].tolist()]
        more = ', "nearest": True' if len(colours) > 16 else ''
        raise DataError(
            f'Mask {path} is coloured, the label map lists single values ({self}). List its '
            f'{len(colours)} colours instead, as in label_map={{{few[0]}: 0, {few[1]}: 1{more}}}.'
        )

    def _refuse(self, values: np.ndarray, path: str, lossy: bool) -> None:
        shown = ', '.join(str(value) for value in values[:8].tolist())
        more = f' and {len(values) - 8} more' if len(values) > 8 else ''
        nearest = f'take the nearest listed value: {self.written(nearest=True)}'
        if lossy:
            advice = f'JPEG and the like change values a little; {nearest}.'
        else:
            key = tuple(values[0].tolist()) if self.colour else f'{values[0]}'
            other = '' if self.colour else ', write a range such as "1-128"'
            advice = f'Add it to label_map ({key}: 0, say){other}, or {nearest}.'
        raise DataError(
            f'Mask {path} has value {shown}{more}, which the label map does not list ({self}). '
            f'{advice}'
        )
