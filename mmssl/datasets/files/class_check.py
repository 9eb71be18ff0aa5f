"""A net under what can go wrong with masks: is there a class that no mask has?"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mmssl.datasets.files.layout import Sample
from mmssl.datasets.reading.errors import DataError
from mmssl.datasets.reading.label_map import LabelMap

MOST_MASKS = 200
"""Masks of a domain that are read at most; usually the first few have all classes."""


def missing_classes(
    samples: Sequence[Sample],
    classes: Sequence[str],
    label_maps: Mapping[str, LabelMap],
    read_mask: Callable[[int], np.ndarray],
) -> list[str]:
    """Return a warning for each class of a domain's label map that none of its masks has.

    Masks of labelled samples are read, evenly spread over the domain, until all classes are found.
    One that cannot be read is left to the error that its use raises.

    Args:
        samples: of all domains.
        classes: their names, by class index.
        label_maps: of each domain.
        read_mask: returns the mask of a sample, by its number, as class indices.
    """
    warnings = []
    for domain, label_map in label_maps.items():
        numbers = [n for n, s in enumerate(samples) if s.labelled and s.domain == domain]
        step = max(1, -(-len(numbers) // MOST_MASKS))
        order = [n for start in range(step) for n in numbers[start::step]][:MOST_MASKS]
        wanted, looked = {item for _, item in label_map.entries}, 0
        for number in order:
            if not wanted:
                break
            try:
                wanted -= {*np.flatnonzero(np.bincount(read_mask(number).ravel())).tolist()}
                looked += 1
            except DataError:
                continue
        for index in sorted(wanted) if looked else ():
            warnings.append(
                f'Domain "{domain}": class "{classes[index]}" (mask value '
                f'{_values_of(label_map, index)}) has no pixel in any of the {looked} labelled '
                'masks that were looked at. Compare label_map with the masks.'
            )
    return warnings


def _values_of(label_map: LabelMap, index: int) -> str:
    """Return in words which values or colours mean a class."""
    keys = [key for key, item in label_map.entries if item == index]
    return ', '.join('-'.join(map(str, key)) if len(key) < 3 else str(key) for key in keys)
